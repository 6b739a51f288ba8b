"""Elementary functions from IEEE additions, multiplications, divisions and bit operations alone.

The C library's differ in the last bit from one system to another, so the same seed would not give the same bytes; and a
loop that calls them is not vectorised. These are within two units in the last place on the stated domains.

Source of the polynomials: FDLIBM 5.3 (Sun Microsystems, 1993), e_log.c, e_exp.c, k_sin.c, k_cos.c.
"""

from __future__ import annotations

import math

import numpy as np

from .jit import formula

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ONE_BITS, _ROOT_HALF_BITS = np.int64(0x3FF0000000000000), np.int64(0x3FE6A09E667F3BCD)
_52 = np.int64(52)
_EXP_LOW, _EXP_HIGH = -708.0, 709.0


@formula
def log(x: float) -> float:
    """Natural logarithm of a positive, normal number."""
    bits = np.float64(x).view(np.int64)
    k = (bits - _ROOT_HALF_BITS) >> _52  # x = m 2^k with sqrt(1/2) <= m < sqrt(2)
    f = np.int64(bits - (k << _52)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = 1.531383769920937332e-01 + z * 1.479819860511658591e-01
    r = 2.222219843214978396e-01 + z * (1.818357216161805012e-01 + z * r)
    r = 3.999999999940941908e-01 + z * (2.857142874366239149e-01 + z * r)
    r = z * (6.666666666666735130e-01 + z * r)
    half = 0.5 * f * f
    return float(float(k) * _LN2_HIGH - ((half - (s * (half + r) + float(k) * _LN2_LOW)) - f))


@formula
def log10(x: float) -> float:
    """Decimal logarithm of a positive, normal number."""
    return log(x) * 0.4342944819032518


@formula
def log2(x: float) -> float:
    """Binary logarithm of a positive, normal number."""
    return log(x) * 1.4426950408889634


@formula
def exp(x: float) -> float:
    """Exponential function; arguments below -708 and above 709 count as these."""
    x = min(_EXP_HIGH, max(_EXP_LOW, x))
    k = math.floor(x * 1.4426950408889634 + 0.5)
    high, low = x - k * _LN2_HIGH, k * _LN2_LOW
    r = high - low
    t = r * r
    c = 6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08)
    c = r - t * (1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 + t * c))
    y = 1.0 - ((low - r * c / (2.0 - c)) - high)
    return float(y * np.int64(_ONE_BITS + (np.int64(k) << _52)).view(np.float64))


@formula
def exp10(x: float) -> float:
    """Ten to the power of x."""
    return exp(x * 2.302585092994046)


@formula
def sin_cos_of_turn(turn: float) -> tuple[float, float]:
    """Sine and cosine of `2 pi turn`, 0 <= turn < 1."""
    quarters = 4.0 * turn
    q = math.floor(quarters + 0.5)
    x = (quarters - q) * 1.5707963267948966  # within an eighth of a turn of a multiple of a quarter
    z = x * x
    s = 2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)
    s = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * s)
    s = x + z * x * (-1.66666666666666324348e-01 + z * s)
    c = -2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)
    c = -1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 + z * c)
    c = 1.0 - (0.5 * z - z * z * (4.16666666666666019037e-02 + z * c))
    odd = q == 1 or q == 3
    sine, cosine = (c, s) if odd else (s, c)
    return (-sine if q == 2 or q == 3 else sine), (-cosine if q == 1 or q == 2 else cosine)
