"""Devices of the machine for trials: found by NVML, leased one by one, mounted alone, watched while in use."""
