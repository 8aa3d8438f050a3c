"""What pgquorum's tests with real servers, its demo and its failover benchmark are written with.

    tap        test output, failures, clean-up
    waiting    conditions with deadlines: tests never sleep and hope
    cluster    a sandbox cluster, with fault injection
    by_hand    a cluster whose nodes come and go
    load       numbered rows written through failovers, and the check that none was lost
    network    nodes in network namespaces of their own, with cuts between them
"""
from .cluster import Cluster
from .load import Checker, WriteLoad
from .network import Network
from .tap import Test, main
from .waiting import TimedOut, wait_for

__all__ = ["Checker", "Cluster", "Network", "Test", "TimedOut", "WriteLoad", "main", "wait_for"]
