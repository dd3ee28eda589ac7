"""What knows Temporal: client, converter, search attributes, interceptors, task queues, namespaces."""
