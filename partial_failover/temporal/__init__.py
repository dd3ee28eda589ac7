"""What knows Temporal: client, converter, search attributes, interceptors, namespaces, schedules."""
