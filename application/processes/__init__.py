"""When this happens, ask for that: policies, event in and commands out."""
