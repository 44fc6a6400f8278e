//! What a run was asked for, where its store is, and the chance that decides.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bank_stores::{Clock as _, SystemClock};

/// Whatever ends a program that was to find out something else.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) const HELP: &str = "\
histories [OPTIONS]

Options:
  --store NAME      sqlite or postgres (sqlite)
  --count N         how many histories (10)
  --seed S          of the first one; the next has the next (the time)
  --millis M        how long clients work in each (400)
  --results FILE    append the numbers of this run, and print those of all runs in it";

/// Where a kind of failure has to be a text.
pub(crate) fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

/// Which store is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) store: Store,
    pub(crate) count: u64,
    pub(crate) seed: u64,
    pub(crate) millis: u64,
    pub(crate) results: Option<PathBuf>,
}

impl Plan {
    pub(crate) fn read(words: &[String]) -> Result<Self, Failure> {
        let seed = SystemClock::new().now().micros().unsigned_abs();
        let mut plan = Self { store: Store::Sqlite, count: 10, seed, millis: 400, results: None };
        let mut words = words.iter();
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value\n\n{HELP}"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{name} {value} is no number"));
            match (name.as_str(), value.as_str()) {
                ("--store", "sqlite") => plan.store = Store::Sqlite,
                ("--store", "postgres") => plan.store = Store::Postgres,
                ("--count", _) => plan.count = number()?,
                ("--seed", _) => plan.seed = number()?,
                ("--millis", _) => plan.millis = number()?.max(10),
                ("--results", _) => plan.results = Some(PathBuf::from(value)),
                _ => return Err(format!("{name} {value} is not known\n\n{HELP}").into()),
            }
        }
        Ok(plan)
    }
}

/// Where the store of one history is; given to its clients as three words.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Sqlite(PathBuf),
    Postgres { url: String, schema: String },
}

impl Address {
    pub(crate) fn words(&self) -> [String; 3] {
        match self {
            Self::Sqlite(path) => ["sqlite".to_owned(), path.display().to_string(), "-".to_owned()],
            Self::Postgres { url, schema } => ["postgres".to_owned(), url.clone(), schema.clone()],
        }
    }

    pub(crate) fn read(store: &str, place: &str, schema: &str) -> Result<Self, Failure> {
        match store {
            "sqlite" => Ok(Self::Sqlite(PathBuf::from(place))),
            "postgres" => Ok(Self::Postgres { url: place.to_owned(), schema: schema.to_owned() }),
            _ => Err(format!("no such store: {store}").into()),
        }
    }
}

/// Chance that can be repeated: xorshift64*.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// One of the streams of a seed. What is close to one another is spread first (SplitMix64).
    pub(crate) const fn new(seed: u64, stream: u64) -> Self {
        let mut z = seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // It would stay zero for ever.
        Self((z ^ (z >> 31)) | 1)
    }

    const fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        (self.draw() >> 16) % bound
    }

    /// One of so many.
    pub(crate) const fn pick(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// True once in so many times.
    pub(crate) const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A time up to this one.
    pub(crate) const fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(most.as_micros() as u64 + 1))
    }
}
