"""consilience: a swarm of agents improves anything that can be measured, and every result can be checked."""
