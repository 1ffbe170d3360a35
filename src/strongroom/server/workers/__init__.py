"""Several worker processes on one store, under one supervisor.

supervisor.py   forks workers, hands on the root key, restarts who died
slots.py        one worker's place: its sockets, its channel, its crashes
channel.py      what supervisor and worker say to each other
member.py       the worker's side
board.py        what all of them see at once, in shared memory
siblings.py     what a worker asks of those beside it, and the worker that has none
"""
