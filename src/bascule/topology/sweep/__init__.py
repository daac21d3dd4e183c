"""Everybody with everybody by every service: the walk of many packets at once, as sets of bits. Pure.

A set of packets is for each sender one integer: a bit for each receiver and service. Those whose way through ports and
routes is alike walk together (equivalence.py), and each base chain that they meet is run once for all of them
(chains.py). Where rules make their ways differ (NAT, marks), each part goes on alone. What cannot be told of a set is
walked.
"""
