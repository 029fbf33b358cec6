"""The fit of the Gaussian process: value and gradient against independent oracles; the transform of its losses."""

import numpy as np
from automl_strategies.surrogates.gp import matern
from automl_strategies.surrogates.gp_likelihood import JITTER, LOG_NOISE, Likelihood
from automl_strategies.surrogates.transforms import EXPONENTS, output_transform, yeo_johnson
from scipy import stats
from scipy.optimize import approx_fprime

OWNER = np.array([0, 1, 1, 2])  # the second parameter is a choice of two, one-hot
THETA = np.array([0.3, -0.4, 1.1, 0.2, -3.0, 0.4])


def observed(n: int = 15) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((n, 4)), rng.standard_normal(n)


def test_value_is_that_of_a_multivariate_normal_with_priors() -> None:
    x, y = observed()
    likelihood = Likelihood.of(x, y, OWNER, 3)
    scales = np.exp(-THETA[:3])[OWNER]
    covariance = np.exp(THETA[3]) * matern(x, x, scales) + (np.exp(THETA[4]) + JITTER) * np.eye(len(x))
    dense = stats.multivariate_normal(np.full(len(x), THETA[5]), covariance).logpdf(y)
    priors = (
        stats.norm(likelihood.center, np.sqrt(3.0)).logpdf(THETA[:3]).sum()
        + stats.norm(0, 1).logpdf(THETA[[3, 5]]).sum()
        + stats.norm(*LOG_NOISE).logpdf(THETA[4])
    )
    elsewhere = THETA + 0.3  # constants of the densities cancel in a difference
    value, other = likelihood(THETA)[0], likelihood(elsewhere)[0]
    scales = np.exp(-elsewhere[:3])[OWNER]
    covariance = np.exp(elsewhere[3]) * matern(x, x, scales) + (np.exp(elsewhere[4]) + JITTER) * np.eye(len(x))
    dense_there = stats.multivariate_normal(np.full(len(x), elsewhere[5]), covariance).logpdf(y)
    priors_there = (
        stats.norm(likelihood.center, np.sqrt(3.0)).logpdf(elsewhere[:3]).sum()
        + stats.norm(0, 1).logpdf(elsewhere[[3, 5]]).sum()
        + stats.norm(*LOG_NOISE).logpdf(elsewhere[4])
    )
    assert np.isclose(other - value, (dense + priors) - (dense_there + priors_there), atol=1e-8)


def test_gradient_is_that_of_finite_differences() -> None:
    likelihood = Likelihood.of(*observed(), OWNER, 3)
    numeric = approx_fprime(THETA, lambda theta: likelihood(theta)[0], 1e-7)
    assert np.allclose(likelihood(THETA)[1], numeric, rtol=1e-5, atol=1e-5)


def test_a_singular_covariance_is_infinitely_improbable() -> None:
    x, y = observed(4)
    twice = Likelihood.of(np.concatenate([x, x]), np.concatenate([y, y]), OWNER, 3)
    value, gradient = twice(np.array([9.0, 9.0, 9.0, 40.0, -60.0, 0.0]))
    assert value == np.inf
    assert np.isfinite(gradient).all()


def test_power_transform_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).lognormal(size=60) - 1.0
    for exponent in (-1.3, 0.0, 0.7, 1.0, 2.0, 2.6):
        assert np.allclose(yeo_johnson(values, exponent), stats.yeojohnson(values, exponent))


def test_output_transform_losses_are_about_as_normal_as_scipy_makes_them() -> None:
    losses = np.random.default_rng(2).lognormal(sigma=0.6, size=80)
    ours = output_transform(losses)
    assert np.isclose(ours.mean(), 0)
    assert np.isclose(ours.std(), 1)
    assert (np.argsort(ours, kind="stable") == np.argsort(losses, kind="stable")).all()
    clipped = (losses - np.median(losses)) / (np.median(losses) - losses.min())
    best, _ = stats.yeojohnson((clipped - clipped.mean()) / clipped.std())
    assert abs(stats.skew(ours)) < abs(stats.skew(best)) + 0.1
    assert EXPONENTS[0] < 1 < EXPONENTS[-1]
