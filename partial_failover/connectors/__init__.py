"""The only rooms that know pyvcloud, pyvmomi, httpx and asyncssh."""
