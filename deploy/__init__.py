"""What puts FinePhys on a server: a Space, a container, a reverse proxy."""
