//! Limits on Redis.
//!
//! Each bucket is one key that holds when it will be full again, in microseconds of the server's clock (the generic cell rate algorithm, ITU-T
//! I.371), and goes away when it is. All buckets of a group lie in one slot, so that a script takes from all of them or from none in one
//! round trip.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::RedisOptions;
use super::connection::Connection;
use super::script::Script;
use crate::error::damaged;
use crate::limit::{Limits, NamedCharge, Verdict, check};
use crate::{Error, Result};

/// Gives whether each bucket has enough, and how far each is from full in microseconds before the call.
///
/// A server without room goes on, since buckets end by themselves.
static TAKE: Script = Script::new(
    "#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local filled = redis.call('MGET', unpack(KEYS))
local answer, next, all = {}, {}, true
for i = 1, #KEYS do
  local interval, burst, cost = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local span, need = interval * burst, interval * cost
  local full = tonumber(filled[i] or now)
  if full < now then full = now end
  -- Told by another server's clock, or by another rate.
  if full > now + span then full = now + span end
  local used = full - now
  local enough = need <= span - used
  if not enough then all = false end
  next[i] = full + need
  answer[2 * i - 1], answer[2 * i] = enough and 1 or 0, used
end
if all then
  for i = 1, #KEYS do
    if tonumber(ARGV[3 * i]) > 0 then
      local ttl = math.ceil((next[i] - now) / 1000) + 1
      redis.call('SET', KEYS[i], string.format('%.0f', next[i]), 'PX', string.format('%.0f', ttl))
    end
  end
end
return answer",
);

/// Limits that several processes share, by the server's clock.
///
/// A call is one round trip. A bucket that is full takes no memory, one that is in use about 150 bytes.
#[derive(Debug)]
pub struct RedisLimits {
    options: RedisOptions,
    connection: Connection,
}

impl RedisLimits {
    /// Connects.
    pub async fn open(options: RedisOptions) -> Result<Self> {
        Ok(Self { connection: Connection::open(&options).await?, options })
    }
}

/// Microseconds in which one unit flows back, rounded up so that never more than the limit gets through.
fn interval(charge: &NamedCharge) -> u64 {
    charge.rate.interval().div_ceil(1_000)
}

#[async_trait]
impl Limits for RedisLimits {
    async fn take(&self, group: &str, charges: &[NamedCharge]) -> Result<Vec<Verdict>> {
        check(group, charges)?;
        // What is in braces decides the slot. A hash has no braces, and tells nobody who the group is.
        let tag = URL_SAFE_NO_PAD.encode(&Sha256::digest(group.as_bytes())[..16]);
        let keys: Vec<String> = charges
            .iter()
            .map(|charge| self.options.key('l', &format!("{{{tag}}}:{}", charge.key)))
            .collect();
        let arguments: Vec<Vec<u8>> = charges
            .iter()
            .flat_map(|charge| {
                [interval(charge), u64::from(charge.rate.quota().get()), u64::from(charge.cost)]
            })
            .map(|number| number.to_string().into_bytes())
            .collect();
        let answer: Vec<i64> = TAKE.run(&self.connection, &keys, &arguments).await?;
        if answer.len() != 2 * charges.len() {
            return Err(damaged(Error::invalid("answer", "not one for each bucket")));
        }
        let all = answer.chunks_exact(2).all(|bucket| bucket[0] == 1);
        let verdict = |(charge, bucket): (&NamedCharge, &[i64])| {
            let (interval, used) = (interval(charge), bucket[1] as u64);
            let taken = if all { interval * u64::from(charge.cost) } else { 0 };
            Verdict::of(charge.rate, interval * 1_000, charge.cost, bucket[0] == 1, (used + taken) * 1_000)
        };
        Ok(charges.iter().zip(answer.chunks_exact(2)).map(verdict).collect())
    }
}
