"""The side by side benchmark that scripts/bench runs: docs/performance.md says what is measured, and how."""
