"""Dependencies: paths of other repositories that live at paths of this one."""
