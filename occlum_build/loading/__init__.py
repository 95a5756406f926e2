"""From text to targets: workspaces, BUILD and .bzl files, rule files, attributes."""
