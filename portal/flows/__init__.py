"""Acts that reach outside: store the attempt, call, store the answer.

Each step is a unit of work. Services never commit and never call out; blueprints, jobs and
commands do both through here, so that the order (intent before effect) is written once. A flow
takes the tenant's engine and may be run again after any interruption: it finds its stored attempt
and goes on.
"""
