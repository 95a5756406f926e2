//! All processes and threads, by id, and how they are related.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Errno;
use locks::Mutex;

use super::wait::Change;
use super::{EndStatus, Process};
use crate::signals::Signal;
use crate::threads::Usage;

/// The id of the first process, which ends the enclave when it ends.
pub(crate) const FIRST_PID: u32 = 1;

/// The processes of an enclave. Processes and threads share one range of ids.
pub(crate) struct ProcessTable {
    pub(super) members: Mutex<Members>,
    /// Held while a process ends and its parent is told: who sees that it has ended sees that, too.
    pub(super) telling: Mutex<()>,
}

#[derive(Default)]
pub(super) struct Members {
    pub(super) by_pid: BTreeMap<u32, Member>,
    /// The process of each live thread.
    by_tid: BTreeMap<u32, u32>,
    /// How many processes and threads there have ever been.
    started: u64,
    last_id: u32,
    /// The highest id there may be (`pid_max`).
    id_max: u32,
}

/// A process and its relations, from its start until its parent has waited for it.
pub(super) struct Member {
    pub(super) process: Arc<Process>,
    pub(super) parent: u32,
    /// In the order in which they came to it.
    pub(super) children: Vec<u32>,
    pub(super) group: u32,
    pub(super) session: u32,
    /// What its parent has not been told yet.
    pub(super) change: Option<Change>,
    /// What it has used of processors, once it has ended.
    pub(super) used: Usage,
    /// What its parent gets when it ends.
    pub(super) exit_signal: Option<Signal>,
    /// Whether its parent runs another program since, which is told by `SIGCHLD` whatever was asked for.
    has_new_parent_program: bool,
    /// What it gets when its parent ends (`PR_SET_PDEATHSIG`).
    death_signal: Option<Signal>,
    /// Whether orphans below it become its children (`PR_SET_CHILD_SUBREAPER`).
    adopts: bool,
    /// Whether it has called `execve` since its parent made it.
    has_program: bool,
}

/// How a new process is related to who makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinship {
    /// Its child, at whose end it gets this signal.
    Child(Option<Signal>),
    /// Another child of its parent, to whom both are the same (`CLONE_PARENT`).
    Sibling,
}

/// Whom a signal goes to (kill(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One process, by its own id or that of a thread.
    Process(u32),
    /// All of a process group.
    Group(u32),
    /// All but the first process and the caller.
    Others,
}

/// What is left to do when a process has ended.
pub(crate) struct Ended {
    /// Who is told.
    pub(crate) parent: Option<Arc<Process>>,
    /// By which signal.
    pub(crate) exit_signal: Option<Signal>,
    /// Children that want a signal when their parent ends.
    pub(crate) death_signals: Vec<(Arc<Process>, Signal)>,
    /// Children that have ended already, of whom somebody else is told now, and how they ended.
    pub(crate) inherited: Vec<(Arc<Process>, EndStatus)>,
    /// Who that is.
    pub(crate) heir: Option<Arc<Process>>,
    /// Groups with stopped processes that nobody can continue any more.
    pub(crate) orphaned_groups: Vec<u32>,
}

impl Members {
    fn new_id(&mut self) -> Result<u32, Errno> {
        for _ in 0..self.id_max {
            self.last_id = self.last_id % self.id_max + 1;
            let id = self.last_id;
            let is_used = self.by_tid.contains_key(&id)
                || self.by_pid.contains_key(&id)
                || (self.by_pid.values()).any(|member| member.group == id || member.session == id);
            if !is_used {
                self.started += 1;
                return Ok(id);
            }
        }
        Err(Errno::EAGAIN)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Member> {
        self.by_pid.values().filter(|member| member.is_alive())
    }

    /// Whether no live process of a group has a parent outside of it in the same session.
    fn is_orphaned(&self, group: u32) -> bool {
        !(self.live())
            .filter(|member| member.group == group)
            .any(|member| {
                let parent = self.by_pid.get(&member.parent);
                parent
                    .is_some_and(|parent| parent.group != group && parent.session == member.session)
            })
    }

    /// Whether a process of a group has stopped.
    fn has_stopped(&self, group: u32) -> bool {
        let mut in_group = (self.live()).filter(|member| member.group == group);
        in_group.any(|member| member.process.stop.is_set())
    }

    /// Who takes over the children of `pid`.
    fn heir_of(&self, pid: u32) -> u32 {
        let mut at = self.by_pid.get(&pid).map_or(0, |member| member.parent);
        while let Some(member) = self.by_pid.get(&at) {
            if member.adopts && member.is_alive() {
                return at;
            }
            at = member.parent;
        }
        FIRST_PID
    }

    /// Forgets a process that its parent has waited for.
    pub(super) fn forget(&mut self, pid: u32) -> Option<Member> {
        let member = self.by_pid.remove(&pid)?;
        if let Some(parent) = self.by_pid.get_mut(&member.parent) {
            parent.children.retain(|&child| child != pid);
        }
        Some(member)
    }
}

impl Member {
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.change, Some(Change::Ended(_)))
    }
}

impl ProcessTable {
    /// No processes, whose ids will be at most `id_max`.
    pub(crate) fn new(id_max: u64) -> Arc<Self> {
        let table = Self {
            members: Mutex::default(),
            telling: Mutex::new(()),
        };
        table.set_id_max(id_max);
        Arc::new(table)
    }

    /// No new id is higher from now on.
    pub(crate) fn set_id_max(&self, id_max: u64) {
        self.members.lock().id_max = u32::try_from(id_max).unwrap_or(u32::MAX - 1);
    }

    /// The id that was given last.
    pub(crate) fn last_id(&self) -> u32 {
        self.members.lock().last_id
    }

    /// Goes on behind an id, up to the highest.
    pub(crate) fn set_last_id(&self, last: u64) {
        let mut members = self.members.lock();
        members.last_id =
            u32::try_from(last).map_or(members.id_max, |last| last.min(members.id_max));
    }

    /// Adds a process that `make` builds for a free id. It comes from the process `maker`, in whose
    /// group it is, or is the first. Its first thread has the same id.
    pub(crate) fn add_process(
        &self,
        maker: u32,
        kinship: Kinship,
        make: impl FnOnce(u32) -> Result<Arc<Process>, Errno>,
    ) -> Result<Arc<Process>, Errno> {
        let pid = self.reserve_id()?;
        let process = make(pid).inspect_err(|_| self.remove_thread(pid))?;
        let mut members = self.members.lock();
        let from = members.by_pid.get(&maker);
        let (group, session) = from.map_or((pid, pid), |maker| (maker.group, maker.session));
        let (parent, exit_signal, has_new_parent_program) = match (kinship, from) {
            (Kinship::Sibling, Some(maker)) => (
                maker.parent,
                maker.exit_signal,
                maker.has_new_parent_program,
            ),
            (Kinship::Sibling, None) => (maker, None, false),
            (Kinship::Child(signal), _) => (maker, signal, false),
        };
        if let Some(parent) = members.by_pid.get_mut(&parent) {
            parent.children.push(pid);
        }
        let member = Member {
            process: process.clone(),
            parent,
            children: Vec::new(),
            group,
            session,
            change: None,
            used: Usage::default(),
            exit_signal,
            has_new_parent_program,
            death_signal: None,
            adopts: false,
            has_program: false,
        };
        members.by_pid.insert(pid, member);
        Ok(process)
    }

    /// An id that nobody has, for the first thread of a process of the same id.
    fn reserve_id(&self) -> Result<u32, Errno> {
        let mut members = self.members.lock();
        let pid = members.new_id()?;
        members.by_tid.insert(pid, pid);
        Ok(pid)
    }

    /// Takes a process out that never ran.
    pub(crate) fn remove_process(&self, pid: u32) {
        let mut members = self.members.lock();
        members.by_tid.remove(&pid);
        members.forget(pid);
    }

    /// An id for another thread of a process.
    pub(crate) fn add_thread(&self, pid: u32) -> Result<u32, Errno> {
        let mut members = self.members.lock();
        let tid = members.new_id()?;
        members.by_tid.insert(tid, pid);
        Ok(tid)
    }

    /// A thread has ended.
    pub(crate) fn remove_thread(&self, tid: u32) {
        self.members.lock().by_tid.remove(&tid);
    }

    /// The thread `tid` goes by the id of its process from now on.
    pub(crate) fn promote_thread(&self, tid: u32, pid: u32) {
        let mut members = self.members.lock();
        members.by_tid.remove(&tid);
        members.by_tid.insert(pid, pid);
    }

    /// A process, also one that has ended and was not waited for.
    pub(crate) fn get(&self, pid: u32) -> Option<Arc<Process>> {
        let members = self.members.lock();
        members
            .by_pid
            .get(&pid)
            .map(|member| member.process.clone())
    }

    /// The process of a live thread.
    pub(crate) fn of_thread(&self, tid: u32) -> Option<Arc<Process>> {
        let members = self.members.lock();
        let pid = members.by_tid.get(&tid)?;
        members.by_pid.get(pid).map(|member| member.process.clone())
    }

    /// Whether a process has ended and was not waited for.
    pub(crate) fn is_zombie(&self, pid: u32) -> bool {
        let _told = self.telling.lock();
        let members = self.members.lock();
        (members.by_pid.get(&pid)).is_some_and(|member| !member.is_alive())
    }

    /// How many processes and threads there have ever been.
    pub(crate) fn started(&self) -> u64 {
        self.members.lock().started
    }

    /// All ids of processes, in order.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.members.lock().by_pid.keys().copied().collect()
    }

    /// How many processes and threads there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let members = self.members.lock();
        (members.by_pid.len(), members.by_tid.len())
    }

    /// How many threads the processes of a user have.
    pub(crate) fn threads_of(&self, user: u32) -> u64 {
        let members = self.members.lock();
        let live: Vec<_> = (members.live())
            .map(|member| member.process.clone())
            .collect();
        drop(members);
        let own = live
            .iter()
            .filter(|process| process.standing().user.real == user);
        own.map(|process| process.thread_count() as u64).sum()
    }

    /// The parent's id; 0 for the first process.
    pub(crate) fn parent(&self, pid: u32) -> u32 {
        (self.members.lock().by_pid.get(&pid)).map_or(0, |member| member.parent)
    }

    /// The children of a process, in the order in which they came to it.
    pub(crate) fn children(&self, pid: u32) -> Vec<u32> {
        let members = self.members.lock();
        let member = members.by_pid.get(&pid);
        member.map_or_else(Vec::new, |member| member.children.clone())
    }

    /// The process group and session of a process.
    pub(crate) fn group_and_session(&self, pid: u32) -> Result<(u32, u32), Errno> {
        let members = self.members.lock();
        let member = members.by_pid.get(&pid).ok_or(Errno::ESRCH)?;
        Ok((member.group, member.session))
    }

    /// Puts the process `pid` into a group: `setpgid(2)`, called by `caller`.
    pub(crate) fn set_group(&self, caller: u32, pid: u32, group: u32) -> Result<(), Errno> {
        let mut members = self.members.lock();
        let session = members.by_pid.get(&caller).ok_or(Errno::ESRCH)?.session;
        // One that has ended is in a group as long as nobody has waited for it.
        let Some(member) = members.by_pid.get(&pid) else {
            // Only whole processes are in groups.
            let is_thread = members.by_tid.contains_key(&pid);
            return Err(if is_thread {
                Errno::EINVAL
            } else {
                Errno::ESRCH
            });
        };
        if pid != caller {
            if member.parent != caller {
                return Err(Errno::ESRCH);
            }
            if member.session != session {
                return Err(Errno::EPERM);
            }
            if member.has_program {
                return Err(Errno::EACCES);
            }
        }
        if member.session == pid {
            return Err(Errno::EPERM);
        }
        let exists = (members.by_pid.values())
            .any(|member| member.group == group && member.session == session);
        if group != pid && !exists {
            return Err(Errno::EPERM);
        }
        if let Some(member) = members.by_pid.get_mut(&pid) {
            member.group = group;
        }
        Ok(())
    }

    /// Makes `pid` the leader of a session and group of its own: `setsid(2)`.
    pub(crate) fn new_session(&self, pid: u32) -> Result<(), Errno> {
        let mut members = self.members.lock();
        if members.by_pid.values().any(|member| member.group == pid) {
            return Err(Errno::EPERM);
        }
        let member = members.by_pid.get_mut(&pid).ok_or(Errno::ESRCH)?;
        (member.group, member.session) = (pid, pid);
        Ok(())
    }

    /// The live processes that a signal of `caller` goes to. `ESRCH` when there is none.
    pub(crate) fn targets(&self, caller: u32, target: Target) -> Result<Vec<Arc<Process>>, Errno> {
        let members = self.members.lock();
        // A thread stands for its process.
        let target = match target {
            Target::Process(id) => Target::Process(*members.by_tid.get(&id).unwrap_or(&id)),
            target => target,
        };
        let is_meant = |pid: u32, member: &Member| match target {
            Target::Process(wanted) => pid == wanted,
            Target::Group(group) => member.group == group,
            Target::Others => pid != FIRST_PID && pid != caller,
        };
        let meant = (members.by_pid.iter()).filter(|&(&pid, member)| is_meant(pid, member));
        let mut exists = false;
        let mut targets = Vec::new();
        for (_, member) in meant {
            exists = true;
            // A signal to one that has ended is no error, and no signal.
            if member.is_alive() {
                targets.push(member.process.clone());
            }
        }
        if exists {
            Ok(targets)
        } else {
            Err(Errno::ESRCH)
        }
    }

    /// Whether nobody outside the group of a process, but in its session, is a parent of one in it:
    /// then there is no shell that could continue the group (POSIX "orphaned process group").
    pub(crate) fn is_orphaned(&self, pid: u32) -> bool {
        let members = self.members.lock();
        let own = members.by_pid.get(&pid);
        own.is_none_or(|own| members.is_orphaned(own.group))
    }

    /// Whether a session has a live process.
    pub(crate) fn has_session(&self, session: u32) -> bool {
        (self.members.lock().live()).any(|member| member.session == session)
    }

    /// Whether a group has a process, in this session; one that has ended is in it until it is waited for.
    pub(crate) fn is_group_of(&self, group: u32, session: u32) -> bool {
        (self.members.lock().by_pid.values())
            .any(|member| member.group == group && member.session == session)
    }

    /// Sets what a process gets when its parent ends.
    pub(crate) fn set_death_signal(&self, pid: u32, signal: Option<Signal>) {
        if let Some(member) = self.members.lock().by_pid.get_mut(&pid) {
            member.death_signal = signal;
        }
    }

    /// What a process gets when its parent ends.
    pub(crate) fn death_signal(&self, pid: u32) -> Option<Signal> {
        (self.members.lock().by_pid.get(&pid)).and_then(|member| member.death_signal)
    }

    /// Says whether orphans below a process become its children.
    pub(crate) fn set_adopts(&self, pid: u32, adopts: bool) {
        if let Some(member) = self.members.lock().by_pid.get_mut(&pid) {
            member.adopts = adopts;
        }
    }

    /// Whether orphans below a process become its children.
    pub(crate) fn adopts(&self, pid: u32) -> bool {
        (self.members.lock().by_pid.get(&pid)).is_some_and(|member| member.adopts)
    }

    /// A process runs a program of its own now.
    pub(crate) fn note_program(&self, pid: u32) {
        let mut members = self.members.lock();
        let Some(member) = members.by_pid.get_mut(&pid) else {
            return;
        };
        member.has_program = true;
        // What a parent asked for besides SIGCHLD is not for another program (execve(2)).
        member.exit_signal = Some(Signal::CHLD);
        for child in member.children.clone() {
            if let Some(child) = members.by_pid.get_mut(&child) {
                child.has_new_parent_program = true;
            }
        }
    }

    /// A process has stopped or goes on. Returns its parent, to be told.
    pub(crate) fn note_change(&self, pid: u32, change: Change) -> Option<Arc<Process>> {
        let mut members = self.members.lock();
        let member = members.by_pid.get_mut(&pid)?;
        if !member.is_alive() {
            return None;
        }
        member.change = Some(change);
        let parent = member.parent;
        members
            .by_pid
            .get(&parent)
            .map(|member| member.process.clone())
    }

    /// A process has ended, having used `used`: its parent may wait for it, its children get another parent.
    pub(crate) fn end(&self, process: &Process, status: EndStatus, used: Usage) -> Ended {
        let mut members = self.members.lock();
        let mut ended = Ended {
            parent: None,
            exit_signal: None,
            death_signals: Vec::new(),
            inherited: Vec::new(),
            heir: None,
            orphaned_groups: Vec::new(),
        };
        let heir = members.heir_of(process.pid);
        let Some(member) = members.by_pid.get_mut(&process.pid) else {
            return ended;
        };
        member.change = Some(Change::Ended(status));
        member.used = used;
        let parent = member.parent;
        let exit_signal = if member.has_new_parent_program {
            Some(Signal::CHLD)
        } else {
            member.exit_signal
        };
        let (group, session) = (member.group, member.session);
        let orphans = core::mem::take(&mut member.children);
        // The groups that this process connected with another one of its session.
        let mut connected = BTreeSet::new();
        let related = orphans.iter().chain([&parent]);
        for other in related.filter_map(|pid| members.by_pid.get(pid)) {
            if other.session == session && other.group != group {
                connected.insert(if other.process.pid == parent {
                    group
                } else {
                    other.group
                });
            }
        }
        for &orphan in &orphans {
            if let Some(member) = members.by_pid.get_mut(&orphan) {
                member.parent = heir;
                member.exit_signal = Some(Signal::CHLD);
                if let Some(Change::Ended(status)) = member.change {
                    ended.inherited.push((member.process.clone(), status));
                }
                if let Some(signal) = member.death_signal {
                    ended.death_signals.push((member.process.clone(), signal));
                }
            }
        }
        if let Some(member) = members.by_pid.get_mut(&heir) {
            member.children.extend(orphans);
            let heir = member.process.clone();
            if heir.signals.lock().forgets_children() {
                for (orphan, _) in &ended.inherited {
                    members.forget(orphan.pid);
                }
            }
            ended.heir = Some(heir);
        }
        connected.retain(|&group| members.is_orphaned(group) && members.has_stopped(group));
        ended.orphaned_groups = connected.into_iter().collect();
        let Some(member) = members.by_pid.get(&parent) else {
            return ended;
        };
        let told = member.process.clone();
        let is_unwanted =
            exit_signal == Some(Signal::CHLD) && told.signals.lock().forgets_children();
        ended.parent = Some(told);
        ended.exit_signal = exit_signal;
        if is_unwanted {
            members.forget(process.pid);
        }
        ended
    }
}
