//! The end: everything is read before anything is removed, the record is on the disk before anybody is told.

use jiff::Timestamp;
use mainstay_diagnosis::facts::{ExitRecord, MemoryRecord, Termination};
use mainstay_shim::{
    files::{self, EXIT_RECORD_FILE},
    log::LogSource,
    protocol::Reply,
};

use super::{Instance, cleanup, memory};

impl Instance {
    /// Init has ended, and with it every process of the instance.
    pub(super) fn end(mut self) {
        let ended_at = Timestamp::now();
        self.read_report();
        self.read_taps();
        let kills = self.memory.collect(&self.cgroup, self.state.main_pid);
        for stream in &mut self.streams {
            stream.finish(&mut self.log);
        }
        memory::tell(&kills, &mut self.log);
        // Whoever is told of the end may use at once what the instance wrote.
        for fault in cleanup::give_back(&self.spec) {
            self.log
                .line(LogSource::Platform, Timestamp::now(), fault.as_bytes());
        }
        let _ = self.log.flush();
        let record = self.record(ended_at);
        let path = self.spec.data_dir.join(EXIT_RECORD_FILE);
        if let Err(error) = files::write_json(&path, &record, self.spec.record) {
            // The disk may be full: the server, if it listens, still gets the record and can write it itself.
            crate::complain(&crate::chain(&error));
        }
        let reply = Reply::Ended(Box::new(record));
        for connection in &mut self.connections {
            connection.tell_end(&reply);
        }
        for fault in cleanup::clean_up(&self.spec, &self.places) {
            crate::complain(&fault);
        }
    }

    fn record(&mut self, ended_at: Timestamp) -> ExitRecord {
        let status = self.main_status.or(self.init_status);
        let termination = status.map(Termination::from_wait_status);
        let killed = matches!(
            termination,
            Some(Termination::Signaled {
                signal: libc::SIGKILL,
                ..
            })
        );
        self.memory.conclude(killed, self.stopping.killed());
        let usage = self.cgroup.usage();
        ExitRecord {
            termination,
            started_at: Some(self.state.started_at),
            ended_at,
            stop: self.stopping.record(),
            memory: MemoryRecord {
                limit_bytes: usage.memory_limit_bytes,
                peak_bytes: usage.memory_peak_bytes,
                kills: self.memory.kills().to_vec(),
            },
            cpu_usage_micros: usage.cpu_usage_micros,
            cpu_throttled_micros: usage.cpu_throttled_micros,
            pids_limit_hits: usage.pids_limit_hits,
            exec_fault: None,
            course: self.course.course(),
        }
    }
}
