"""Files as streams: rows of CSV, JSON lines, Parquet and Arrow, fitted to a schema and encoded."""
