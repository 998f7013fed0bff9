"""The catalogue, as it is searched in OpenSearch."""
