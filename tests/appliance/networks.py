"""Two networks of one organization, as an appliance is told of them."""

NETWORK = {
    "name": "acme-lan-a",
    "mac": "00:50:56:01:02:03",
    "subnet": "192.168.10.0/24",
    "gateway": "192.168.10.1",
    "spare": "192.168.10.251",
}
OTHER = {
    "name": "acme-lan-b",
    "mac": "00:50:56:01:02:04",
    "subnet": "192.168.20.0/24",
    "gateway": "192.168.20.1",
    "spare": "192.168.20.251",
}
