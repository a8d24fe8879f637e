"""Play one of billing-e2e's scenarios; run by the interpreter that has it. Prints JSON.

Arguments: the sandbox's address, key, connected account, a price, a dearer one, and the scenario's
name.
"""

import json
import sys
from importlib.resources import files

import stripe
from billing_e2e.runner import Runner
from billing_e2e.scenario import Config, load_scenario

base, key, account, price, dearer, name = sys.argv[1:]
addresses = {"api": base, "meter_events": base}
client = stripe.StripeClient(
    key, stripe_account=account, base_addresses=addresses, max_network_retries=2
)
scenario = load_scenario(str(files("billing_e2e").joinpath("scenarios", f"{name}.yml")))
prices = {"monthly_price": price, "upgrade_price": dearer}
played = Runner(Config(stripe_key=key, vars=prices), client).run(scenario)
json.dump(
    {
        "passed": played.passed,
        "steps": [[step.label, step.passed, step.detail] for step in played.steps],
        "errors": played.errors,
        "not_run": played.not_run,
    },
    sys.stdout,
)
