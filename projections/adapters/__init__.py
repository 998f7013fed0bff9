"""The ports of the read side, on Postgres and OpenSearch."""
