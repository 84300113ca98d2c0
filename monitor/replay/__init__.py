"""
Backtests: what clients of one pool would have felt, had they followed one rule or another.

    world        what really happened to the services of a pool
    routers      how clients choose today: a static list, cooldowns, latency, success rate, an oracle
    monitored    how they choose with this monitor, its schedule and its order, in virtual time
    play         requests through one of them, and the score
    synthetic    worlds drawn by seed, fitted to outages of real services
    traces       worlds of recorded outages, and of a monitor's own history
"""
