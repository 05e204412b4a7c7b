"""How a text begins that is no answer: a refusal, a question back, chat, or nothing at all.

Patterns look at the beginning alone. Anywhere in a text they would find what is none: "I'm sorry to
hear that", a guard who says "I cannot let you pass", an AI engineer. All are of RE2, which takes
time in proportion to the text, whatever is in it. Apostrophes are straight ones.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PHRASES"]

_START = r"(?i)^[\s*_#>-]*"
_SORRY = r"(?:(?:i'm|i am|we are|my apologies)(?: very| really| so)?(?: sorry| afraid)?[,.;:]? (?:but )?)?"
_CANNOT = (
    r"(?:(?:i|we) (?:can'?t|cannot|can not|am unable to|am not able to|won't|must decline to)|"
    r"i'm (?:unable|not able) to|i (?:decline|refuse) to|unable to)"
)
_DO = (
    r"(?:assist|help|comply|fulfil|fulfill|provide|answer|respond|process|analy[sz]e|determine|"
    r"access|engage|continue|share|discuss|generate|create|complete|classify|do (?:that|this)|see)"
)
_AS_AI = (
    r"as an ai(?: language)?(?: model| assistant)?(?:,| developed| created| trained| i\b)|"
    r"als (?:ki|sprachmodell|künstliche intelligenz)\b|"
    r"en tant qu(?:e |')(?:ia|modèle|assistant)\b|"
    r"como (?:ia|modelo de lenguaje|inteligencia artificial)\b"
)
_ELSEWHERE = (
    r"(?:es )?tut mir leid,? (?:aber |ich kann)|leider kann ich (?:diese|dir|ihnen|keine|nicht)|"
    r"je suis désolée?,? (?:mais|je ne peux)|je ne peux pas (?:répondre|vous aider|fournir)|"
    r"lo siento,? (?:pero|no puedo)|no puedo (?:ayudar|proporcionar|responder)"
)
_THING = r"(?:text|review|content|message|document|article|input|email|information|details|context)"
_WANTS = (
    r"(?:.{0,120}\b)?(?:please (?:provide|share|paste|supply|send)|(?:could|can) you (?:please )?"
    r"(?:provide|share|paste|send))\b.{0,60}\b" + _THING + r"|"
    r"(?:it (?:seems|looks like|appears)(?: that)? )?(?:you (?:have not|haven't|did not|didn't) "
    r"(?:provided?|includ|shared?)|(?:no|the) "
    + _THING
    + r" (?:was |is |has been )?(?:not )?(?:provided|given|missing|included))"
)
_CHAT = (
    r"(?:sure|certainly|of course|absolutely|great question)\b[!,.]|"
    r"here(?:'s| is| are) (?:the|your|a|an|my)\b|based on the (?:provided|given) "
)
_NOTHING = (
    r"(?:n/?a|none|null|nil|unknown|not (?:specified|available|applicable|provided|mentioned)|tbd|"
    r"[-–—?.]+)\.?\s*$"  # noqa: RUF001  (dashes)
)

PHRASES: Mapping[str, str] = {
    "refusal": f"{_START}(?:{_SORRY}{_CANNOT} {_DO}\\b|{_AS_AI}|{_ELSEWHERE})",
    "asks back": f"{_START}(?:{_WANTS})",
    "chat": f"{_START}(?:{_CHAT})",
    "nothing": f"{_START}(?:{_NOTHING})",
}
