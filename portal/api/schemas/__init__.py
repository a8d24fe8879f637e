"""The bodies and queries of the REST API, with WSO2's field names."""
