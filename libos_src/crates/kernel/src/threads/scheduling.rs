//! How a thread wants to be scheduled (sched(7)).
//!
//! The host schedules as it likes: all of this is kept and inherited for who asks, and no more.

/// What a thread has asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scheduling {
    /// Policy and priority.
    pub(crate) attributes: Attributes,
    /// Its nice value, from -20 to 19.
    pub(crate) nice: i8,
    /// Its input and output class and level, as `ioprio_get` gives them.
    pub(crate) io_priority: u16,
}

/// `struct sched_attr` without its size and nice value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// `SCHED_*`.
    pub(crate) policy: u32,
    /// Whether children begin with the usual policy (`SCHED_FLAG_RESET_ON_FORK`).
    pub(crate) resets_on_fork: bool,
    /// The priority among real-time threads; 0 for others.
    pub(crate) priority: u32,
    /// With `SCHED_DEADLINE`: how much is wanted by when.
    pub(crate) deadline: Option<DeadlineTerms>,
}

/// What a thread with a deadline asks for, in nanoseconds (sched(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeadlineTerms {
    /// So much of a processor
    pub(crate) runtime: u64,
    /// by then
    pub(crate) deadline: u64,
    /// in each period; 0 for one as long as the deadline.
    pub(crate) period: u64,
}

impl DeadlineTerms {
    /// Whether Linux takes them.
    pub(crate) fn is_legal(self) -> bool {
        /// What a clock of Linux resolves (`DL_SCALE`).
        const LEAST: u64 = 1024;
        /// `sched_deadline_period_min_us` and `_max_us`.
        const PERIODS: core::ops::RangeInclusive<u64> = 100_000..=(1 << 22) * 1000;
        let period = if self.period == 0 {
            self.deadline
        } else {
            self.period
        };
        self.runtime >= LEAST
            && self.runtime <= self.deadline
            && self.deadline <= period
            && PERIODS.contains(&period)
    }
}

impl Scheduling {
    /// Its place among those that wait for one word: before others those with deadlines, then by
    /// real-time priority, then all others alike.
    pub(crate) const fn rank(&self) -> u32 {
        const SCHED_FIFO: u32 = 1;
        const SCHED_RR: u32 = 2;
        const SCHED_DEADLINE: u32 = 6;
        /// Above all priorities.
        const PRIORITIES: u32 = 100;
        match self.attributes.policy {
            SCHED_DEADLINE => 0,
            SCHED_FIFO | SCHED_RR => PRIORITIES.saturating_sub(self.attributes.priority),
            _ => PRIORITIES,
        }
    }

    /// Those of a thread or process that this one makes.
    pub(crate) fn of_child(&self) -> Self {
        let mut child = self.clone();
        if self.attributes.resets_on_fork {
            child.attributes = Attributes::default();
            child.nice = child.nice.max(0);
        }
        child
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_lies_behind_its_runtime_and_in_its_period() {
        let terms = |runtime, deadline, period| DeadlineTerms {
            runtime,
            deadline,
            period,
        };
        assert!(terms(10_000_000, 30_000_000, 30_000_000).is_legal());
        assert!(terms(10_000_000, 30_000_000, 0).is_legal());
        assert!(!terms(40_000_000, 30_000_000, 0).is_legal());
        assert!(!terms(10_000_000, 30_000_000, 20_000_000).is_legal());
        assert!(!terms(1000, 30_000_000, 0).is_legal());
        assert!(!terms(2000, 90_000, 0).is_legal());
    }

    #[test]
    fn a_child_of_who_says_so_has_the_usual_policy() {
        let mut parent = Scheduling {
            nice: -5,
            ..Scheduling::default()
        };
        parent.attributes.policy = 3;
        assert_eq!(parent.of_child().attributes.policy, 3);
        parent.attributes.resets_on_fork = true;

        let child = parent.of_child();

        assert_eq!((child.attributes, child.nice), (Attributes::default(), 0));
    }
}
