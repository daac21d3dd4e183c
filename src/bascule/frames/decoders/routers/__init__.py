"""What routers say: virtual gateways and routing protocols."""
