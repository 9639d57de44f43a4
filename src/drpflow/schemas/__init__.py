"""Column schemas of the Parquet tables: one YAML file a kind of table."""
