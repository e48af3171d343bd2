"""The agent that runs on each box: reports health, installs updates no power cut can break."""
