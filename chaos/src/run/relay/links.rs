//! What becomes of a packet on its way from one host to another.

use standin::testing::{Prng, Weather};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

use super::{Host, Link};

/// How long the queue before a slow link may get; what comes then is lost.
const LONGEST_QUEUE: Duration = Duration::from_millis(400);

/// All links, each way for itself.
pub struct Links {
    random: Prng,
    weather: Weather,
    own: BTreeMap<Link, Weather>,
    slow: BTreeMap<Link, Slow>,
    /// How many faults cut each.
    cuts: BTreeMap<Link, u32>,
    /// Whether what is sent on those is dropped elsewhere.
    cut_elsewhere: bool,
}

struct Slow {
    bytes_per_s: u64,
    busy_until: Instant,
}

/// Nothing happens to packets.
const CALM: Weather = Weather { delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0, duplicated: 0 };

impl Links {
    pub fn new(seed: u64, cut_elsewhere: bool) -> Self {
        let (own, slow, cuts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { random: Prng::new(seed), weather: CALM, own, slow, cuts, cut_elsewhere }
    }

    /// Nothing passes until it is healed as often.
    pub fn cut(&mut self, link: Link) {
        *self.cuts.entry(link).or_default() += 1;
    }

    pub fn heal(&mut self, link: Link) {
        if let Some(count) = self.cuts.get_mut(&link) {
            *count -= 1;
            if *count == 0 {
                self.cuts.remove(&link);
            }
        }
    }

    /// Those that are cut.
    pub fn cuts(&self) -> impl Iterator<Item = Link> {
        self.cuts.keys().copied()
    }

    /// Ends all that is wrong with any of them.
    pub fn heal_all(&mut self) {
        self.weather = CALM;
        self.own.clear();
        self.slow.clear();
        self.cuts.clear();
    }

    /// Forgets a host that is no more.
    pub fn forget(&mut self, host: Host) {
        let other = |link: &Link| link.0 != host && link.1 != host;
        self.own.retain(|link, _| other(link));
        self.slow.retain(|link, _| other(link));
        self.cuts.retain(|link, _| other(link));
    }

    /// How packets fare everywhere, where nothing else was said.
    pub fn set_weather(&mut self, weather: Option<Weather>) {
        self.weather = weather.unwrap_or(CALM);
    }

    /// How they fare on one link.
    pub fn set_link(&mut self, link: Link, weather: Option<Weather>) {
        self.own.remove(&link);
        if let Some(weather) = weather {
            self.own.insert(link, weather);
        }
    }

    /// How many bytes one link carries.
    pub fn set_rate(&mut self, link: Link, bytes_per_s: Option<u64>) {
        self.slow.remove(&link);
        if let Some(bytes_per_s) = bytes_per_s {
            let bytes_per_s = bytes_per_s.max(1);
            self.slow.insert(link, Slow { bytes_per_s, busy_until: Instant::now() });
        }
    }

    /// When each copy of a packet arrives; none if it is lost.
    pub fn pass(&mut self, link: Link, bytes: usize, now: Instant) -> [Option<Duration>; 2] {
        if !self.cut_elsewhere && self.cuts.contains_key(&link) {
            return [None; 2];
        }
        let weather = *self.own.get(&link).unwrap_or(&self.weather);
        if self.chance(weather.loss) {
            return [None; 2];
        }
        let mut queued = Duration::ZERO;
        if let Some(slow) = self.slow.get_mut(&link) {
            let begins = slow.busy_until.max(now);
            if begins - now > LONGEST_QUEUE {
                return [None; 2];
            }
            slow.busy_until = begins + Duration::from_micros(bytes as u64 * 1_000_000 / slow.bytes_per_s);
            queued = slow.busy_until - now;
        }
        let first = queued + weather.delay + self.jitter(weather);
        let twice = self.chance(weather.duplicated);
        [Some(first), twice.then(|| queued + weather.delay + self.jitter(weather))]
    }

    fn chance(&mut self, of_1000: u32) -> bool {
        of_1000 > 0 && self.random.below(1000) < u64::from(of_1000)
    }

    fn jitter(&mut self, weather: Weather) -> Duration {
        Duration::from_micros(self.random.below(weather.jitter.as_micros() as u64 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cuts_are_counted_and_of_one_direction() {
        let mut links = Links::new(1, false);
        let arrives = |links: &mut Links, link| links.pass(link, 1000, Instant::now())[0].is_some();
        links.cut((1, 2));
        links.cut((1, 2));
        links.heal((1, 2));
        assert!(!arrives(&mut links, (1, 2)) && arrives(&mut links, (2, 1)));
        links.heal((1, 2));
        links.heal((1, 2));
        assert!(arrives(&mut links, (1, 2)));
        links.cut((1, 2));
        links.forget(2);
        assert!(arrives(&mut links, (1, 2)));
    }

    #[tokio::test]
    async fn a_slow_link_delays_and_then_loses() {
        let mut links = Links::new(1, false);
        links.set_rate((1, 2), Some(10_000));
        let now = Instant::now();
        let arrived: Vec<_> = (0..10).map(|_| links.pass((1, 2), 1000, now)[0]).collect();
        assert_eq!(arrived[..2], [Some(Duration::from_millis(100)), Some(Duration::from_millis(200))]);
        assert_eq!(arrived[9], None);
        links.heal_all();
        assert_eq!(links.pass((1, 2), 1000, now), [Some(Duration::ZERO), None]);
    }
}
