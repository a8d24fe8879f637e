"""The kinds of refusal of the REST API: one for each status, each with a page of its own."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RestProblem:
    """A kind of refusal. ``slug`` is the end of its page's address under ``/problems/rest/``."""

    status: int
    slug: str
    title: str
    sentence: str
    remedy: str


PROBLEMS = {
    problem.status: problem
    for problem in (
        RestProblem(
            status=400,
            slug="invalid",
            title="Something that was sent is wrong",
            sentence="Nothing was changed. `error` lists each field that is wrong, and why.",
            remedy="Correct these fields and send it again.",
        ),
        RestProblem(
            status=401,
            slug="unauthorized",
            title="There is no valid token",
            sentence="The token is missing, has expired or was revoked.",
            remedy="Get a new one from /oauth2/token and send it as Authorization: Bearer.",
        ),
        RestProblem(
            status=402,
            slug="payment-declined",
            title="The payment did not go through",
            sentence="The card was declined, or its owner has to confirm. Nothing was changed.",
            remedy="Pay with another card in the Customer Portal, then send it again.",
        ),
        RestProblem(
            status=403,
            slug="forbidden",
            title="The token is not for this",
            sentence="It lacks the scope, or its owner may not do this.",
            remedy="Ask for the scope that the description names. A scope that the owner's role "
            "does not have is left out of the token.",
        ),
        RestProblem(
            status=404,
            slug="not-found",
            title="There is no such thing",
            sentence="It never existed, has ended, or belongs to somebody else: the answer is "
            "the same.",
            remedy="Check the identifier against a list that you can read.",
        ),
        RestProblem(
            status=405,
            slug="method",
            title="This address does not take this method",
            sentence="Allow lists those that it takes.",
            remedy="Use one of them.",
        ),
        RestProblem(
            status=409,
            slug="conflict",
            title="Not possible now",
            sentence="The request is well formed, but the state of things does not permit it.",
            remedy="The description says what has to be done first.",
        ),
        RestProblem(
            status=412,
            slug="outdated",
            title="Somebody changed it in the meantime",
            sentence="It is not the version any more that If-Match names. Nothing was changed.",
            remedy="Read it again, repeat your change on what you read, and send the new ETag.",
        ),
        RestProblem(
            status=413,
            slug="too-large",
            title="Too much was sent",
            sentence="A request may have 1 MB.",
            remedy="Send less.",
        ),
        RestProblem(
            status=415,
            slug="media-type",
            title="Another media type is needed",
            sentence="The body is not of the type that this address reads.",
            remedy="Send application/json with that Content-Type, or multipart/form-data for an "
            "import.",
        ),
        RestProblem(
            status=422,
            slug="key-reused",
            title="The Idempotency-Key stands for another request",
            sentence="It was sent with other content within the last 24 hours.",
            remedy="Use a new key for each new request, and the same one only to repeat it.",
        ),
        RestProblem(
            status=428,
            slug="precondition-required",
            title="Say which version you change",
            sentence="A change needs If-Match, so that nobody overwrites what they have not seen.",
            remedy="Send the ETag of what you read, or If-Match: * to overwrite anyway.",
        ),
        RestProblem(
            status=429,
            slug="too-many",
            title="Too many requests",
            sentence="Retry-After says for how long.",
            remedy="Wait, then send it again.",
        ),
        RestProblem(
            status=500,
            slug="unexpected",
            title="Something went wrong here",
            sentence="It is our fault, and it has been noted.",
            remedy="Send it again in a moment, with the same Idempotency-Key.",
        ),
        RestProblem(
            status=502,
            slug="engine-refused",
            title="The payment provider refused",
            sentence="Trying again changes nothing.",
            remedy="The description says what it did not accept.",
        ),
        RestProblem(
            status=503,
            slug="unavailable",
            title="No answer now",
            sentence="The payment provider or the database does not answer.",
            remedy="Send the same again in a minute, with the same Idempotency-Key.",
        ),
    )
}
SLUGS = {problem.slug: problem for problem in PROBLEMS.values()}


def address(base_url: str, status: int) -> str:
    """Return the address of the page about a status; empty where there is none."""
    problem = PROBLEMS.get(status)
    return f"{base_url}/problems/rest/{problem.slug}" if problem else ""
