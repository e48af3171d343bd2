"""The server: releases, rollouts, devices and the desk, one folder per feature."""
