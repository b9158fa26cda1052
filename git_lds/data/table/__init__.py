"""Tables in CSV and TSV: rows identified by key columns."""
