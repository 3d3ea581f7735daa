"""What Linux shows of a process and its sockets: read, never changed."""
