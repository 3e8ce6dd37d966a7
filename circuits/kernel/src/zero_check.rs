//! Σ_i eq(τ, i)·F(i) over the rows, the lookups and the table, one round at a time. circuits/twin/sumchecks.py says what F is; here it is
//! rearranged so that what is linear in the columns is computed once a pair of rows, and the rest once a point of the round polynomial.

use crate::columns::{compute_interpolation, interpolate, sum_pairs, Column, EqTable};
use crate::field::{Fr, HALF};
use ark_ff::{AdditiveGroup, Field};

pub const MAX_DEGREE: usize = 6;
const POINTS: usize = MAX_DEGREE + 1;
const FACTORS: usize = 9; // linear factors of an instance, at most

pub struct Challenges {
    alpha: Fr,
    beta: Fr,
    kappa: Fr,
    rho: Fr,
    rho_squared: Fr,
    rho_cubed: Fr,
}

/// The polynomial of an instance. Its columns come in the order of the Python signature, helper, offset and active behind them.
#[derive(Clone, Copy)]
pub enum Kind {
    Rows { limbs: usize },
    Lookups,
    Table,
}

struct Instance {
    kind: Kind,
    columns: Vec<Column>,
    variables: usize,
    eq: EqTable,
    interpolation: Vec<Vec<Fr>>,
}

pub struct ZeroCheck {
    challenges: Challenges,
    instances: Vec<Instance>,
    rounds: usize,
    round: usize,
    degree: usize,
}

impl Kind {
    fn degree(self) -> usize {
        match self {
            Kind::Rows { limbs } => 4 + limbs,
            Kind::Lookups | Kind::Table => 2,
        }
    }

    /// The linear factors that `evaluate` reads, from the columns (by number) at one place.
    #[inline(always)]
    fn combine(self, challenges: &Challenges, column: impl Fn(usize) -> Fr) -> [Fr; FACTORS] {
        let mut f = [Fr::ZERO; FACTORS];
        match self {
            Kind::Rows { limbs } => {
                let [y, u, h, c] = [column(0), column(1), column(2), column(3)];
                let [helper, offset, active] = [column(4 + limbs), column(5 + limbs), column(6 + limbs)];
                f[0] = y + offset;
                f[1] = challenges.rho * h - u - challenges.rho_squared * c; // what (1 − c²) multiplies: c³ − c = −c(1 − c²)
                f[2] = c;
                f[3] = h;
                f[4] = u;
                f[5] = column(4);
                f[6] = challenges.rho_cubed * helper;
                f[7] = challenges.rho_cubed * active;
                f[8] = if limbs == 2 { column(5) } else { Fr::ZERO };
            }
            Kind::Lookups => {
                let [x, y, tag] = [column(0), column(1), column(2)];
                let active = column(3);
                f[0] = column(4);
                f[1] = challenges.beta * (tag + challenges.beta * (x + challenges.beta * y));
                f[2] = active;
                f[3] = challenges.kappa * y;
            }
            Kind::Table => {
                f[0] = column(2);
                f[1] = column(0);
                f[2] = column(1);
            }
        }
        f
    }

    /// F without the powers of κ that all of an instance shares.
    #[inline(always)]
    fn evaluate(self, challenges: &Challenges, f: &[Fr; FACTORS]) -> Fr {
        let alpha = challenges.alpha;
        match self {
            Kind::Rows { limbs } => {
                let c_squared = f[2] * f[2];
                let (d0, d1, d2) = (f[5] + alpha, f[4] + alpha, f[2] * f[3] - c_squared + alpha);
                let pair = d0 * d1;
                let (mut product, mut sums) = (pair * d2, (d0 + d1) * d2 + pair);
                if limbs == 2 {
                    let d3 = f[8] + alpha;
                    sums = sums * d3 + product;
                    product *= d3;
                }
                f[0] + (Fr::ONE - c_squared) * f[1] - times_4095_halves(c_squared + f[2]) + f[6] * product - f[7] * sums
            }
            Kind::Lookups => f[0] * (alpha + f[1]) - f[2] + (Fr::ONE - f[2]) * f[3],
            Kind::Table => f[0] * (alpha + f[1]) - f[2],
        }
    }

    fn scale(self, challenges: &Challenges) -> Fr {
        match self {
            Kind::Rows { .. } => Fr::ONE,
            Kind::Lookups => challenges.kappa * challenges.kappa,
            Kind::Table => challenges.kappa,
        }
    }
}

#[inline(always)]
fn times_4095_halves(value: Fr) -> Fr {
    static FACTOR: std::sync::LazyLock<Fr> = std::sync::LazyLock::new(|| Fr::from(4095u64) * *HALF);
    value * *FACTOR
}

impl Instance {
    /// Coefficients of Σ eq·F of this round, F bound so far, in `degree` + 1 entries.
    fn coefficients(&self, challenges: &Challenges, round: usize) -> Vec<Fr> {
        let values = if round < self.variables { self.sum_round(challenges) } else { self.repeat(challenges) };
        let scale = self.kind.scale(challenges);
        interpolate(&self.interpolation, &values[..=self.kind.degree()]).into_iter().map(|c| c * scale).collect()
    }

    fn sum_round(&self, challenges: &Challenges) -> [Fr; POINTS] {
        let pairs = self.columns.iter().map(Column::len).max().unwrap_or(0).div_ceil(2);
        // One copy of the loop for each kind: what is constant in it is then known to the compiler.
        match self.kind {
            Kind::Rows { limbs: 1 } => self.sum_kind(Kind::Rows { limbs: 1 }, challenges, pairs),
            Kind::Rows { .. } => self.sum_kind(Kind::Rows { limbs: 2 }, challenges, pairs),
            Kind::Lookups => self.sum_kind(Kind::Lookups, challenges, pairs),
            Kind::Table => self.sum_kind(Kind::Table, challenges, pairs),
        }
    }

    #[inline(always)]
    fn sum_kind(&self, kind: Kind, challenges: &Challenges, pairs: usize) -> [Fr; POINTS] {
        sum_pairs(pairs, |i, sums: &mut [Fr; POINTS]| {
            let mut at = kind.combine(challenges, |column| self.columns[column].get(2 * i));
            let high = kind.combine(challenges, |column| self.columns[column].get(2 * i + 1));
            let mut step = high;
            step.iter_mut().zip(&at).for_each(|(s, a)| *s -= a);
            let weight = self.eq.get(i);
            for sum in &mut sums[..=kind.degree()] {
                *sum += weight * kind.evaluate(challenges, &at);
                at.iter_mut().zip(&step).for_each(|(a, s)| *a += s);
            }
        })
    }

    /// All variables are bound: the same value everywhere.
    fn repeat(&self, challenges: &Challenges) -> [Fr; POINTS] {
        [self.kind.evaluate(challenges, &self.kind.combine(challenges, |column| self.columns[column].get(0))); POINTS]
    }
}

impl ZeroCheck {
    /// Instances as (kind, columns, variables); the caller has compared lengths, variables and degree.
    pub fn new(instances: Vec<(Kind, Vec<Column>, usize)>, [alpha, beta, rho, kappa]: [Fr; 4], tau: &[Fr], degree: usize) -> Self {
        let make = |(kind, columns, variables): (Kind, Vec<Column>, usize)| Instance {
            kind,
            columns,
            variables,
            eq: EqTable::new(tau.get(1..variables).unwrap_or(&[])),
            interpolation: compute_interpolation(kind.degree()),
        };
        let (rho_squared, rho_cubed) = (rho * rho, rho * rho * rho);
        Self {
            challenges: Challenges { alpha, beta, kappa, rho, rho_squared, rho_cubed },
            instances: instances.into_iter().map(make).collect(),
            rounds: tau.len(),
            round: 0,
            degree,
        }
    }

    /// c1 … cd of this round, or None after the last one.
    pub fn message(&self) -> Option<Vec<Fr>> {
        if self.round == self.rounds {
            return None;
        }
        let mut message = vec![Fr::ZERO; self.degree];
        for instance in &self.instances {
            let coefficients = instance.coefficients(&self.challenges, self.round);
            message.iter_mut().zip(&coefficients[1..]).for_each(|(sum, c)| *sum += c);
        }
        Some(message)
    }

    /// None after the last round.
    pub fn bind(&mut self, challenge: Fr) -> Option<()> {
        if self.round == self.rounds {
            return None;
        }
        for instance in self.instances.iter_mut().filter(|i| self.round < i.variables) {
            instance.columns.iter_mut().for_each(|column| column.bind(challenge));
            instance.eq.shorten();
        }
        self.round += 1;
        Some(())
    }
}
