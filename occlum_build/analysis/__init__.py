"""From targets and rules to one graph of providers and actions."""
