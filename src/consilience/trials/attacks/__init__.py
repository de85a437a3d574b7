"""The attack suite: small candidates that try to cheat, and a judge that tells whether one got through.

Rules:
    1. It runs real trials through the real executors in a sandbox that its canaries have proved; at level
       `none` nothing of it ever runs, for these programs do try.
    2. An attack gets through when it scores above the honest control, reaches a canary, leaves anything
       behind, or changes what the next honest trial scores. Nothing else counts, and each alone is enough.
    3. The same programs are run against an evaluator that imports the candidate, as a contrast and as a proof
       that the judge can see an attack succeed.

Data flow: catalogue + targets -> suite -> executors -> judge -> rows -> `consilience attack`, tests/attacks.
"""
