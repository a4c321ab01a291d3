"""Telemetry and events across sites, over NATS JetStream.

Every site (a service with its workers) publishes; every service may listen to all of them. The bus carries copies:
what counts is in the database of each site, and nothing waits for the bus.

=============================================== ====================================================================
subject                                         payload (JSON)
=============================================== ====================================================================
``asic_reservoir.<site>.tasks.<task>.<kind>``   an event of a task: site, task_id, board, task_kind, sequence, kind,
                                                created_utc_ns, data
``asic_reservoir.<site>.boards.<board>.live``   what a board said last: site, board, utc_ns, live
``asic_reservoir.<site>.boards.<board>.lease``  its lease: site, board, utc_ns, state (taken, lost, freed), token,
                                                holder
=============================================== ====================================================================

``Nats-Msg-Id`` is ``<site>:<task>:<sequence>`` or ``<site>:<board>:<what>:<utc_ns>``: a message that is sent again is
one message. In a subject, whatever is no letter, digit, hyphen or underscore is an underscore; the payload has the
name as it is.
"""

from api.bus.fan_in import FanIn, Site
from api.bus.publisher import Bus, BusSettings

__all__ = ["Bus", "BusSettings", "FanIn", "Site"]
