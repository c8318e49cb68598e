"""Prints the constants of tests/unit/eval: bootstrap intervals and divergences as scipy computes them.

scripts/python_env.sh makes the environment; run with its interpreter.
"""

import numpy
import scipy.special
import scipy.stats

SAMPLES = {
    "accuracies": [1.0, 0.96, 0.93, 1.0, 0.89, 0.96, 1.0, 0.71, 0.96, 1.0, 0.93, 0.86],
    "log-probabilities": [-0.11, -0.52, -2.3, -0.04, -1.7, -0.33, -0.9, -5.2],
    "shares": [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0],
}
LOGITS = {
    "near": ([1.0, 2.0, 3.0, -1.0], [1.1, 1.9, 3.0, -1.0]),
    "far": ([0.0, 10.0, -10.0, 5.0], [10.0, 0.0, 5.0, -10.0]),
    "shifted": ([80.0, 81.0, 79.5, 60.0], [-120.0, -119.0, -120.5, -140.0]),
}

for name, values in SAMPLES.items():
    # So many resamples that the bounds' third digit stands.
    result = scipy.stats.bootstrap((values,), numpy.mean, n_resamples=400_000, batch=10_000, method="percentile", rng=7)
    print(f"{name}: mean {numpy.mean(values):.6f}, {result.confidence_interval.low:.4f} to {result.confidence_interval.high:.4f}")
PARTS, WHOLES = [9, 4, 0, 7, 5], [10, 4, 8, 9, 5]
ratio = scipy.stats.bootstrap((PARTS, WHOLES), lambda parts, wholes, axis: parts.sum(axis) / wholes.sum(axis), paired=True,
                              n_resamples=400_000, batch=10_000, method="percentile", rng=7)
print(f"ratio: {sum(PARTS) / sum(WHOLES):.6f}, {ratio.confidence_interval.low:.4f} to {ratio.confidence_interval.high:.4f}")
for name, (reference, logits) in LOGITS.items():
    p, q = (scipy.special.softmax(numpy.array(row, dtype=numpy.float64)) for row in (reference, logits))
    print(f"{name}: {scipy.stats.entropy(p, q):.10f}")
