"""Tables in CSV and TSV: rows told apart by key columns."""
