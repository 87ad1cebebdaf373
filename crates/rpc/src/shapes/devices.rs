//! The own member's devices.

waiting_parameters! {
    /// A code to compare.
    Approve {
        /// The code that the new device shows.
        code: String,
    }
    /// A device of the own member.
    RemoveDevice {
        /// The device's identifier.
        device: String,
    }
}

words! {
    /// What a device is.
    DevicePhase {
        /// It is in use.
        Active,
        /// It waits for approval.
        Waiting,
    }
}

results! {
    /// The devices of the own member.
    Devices {
        /// Those in use, and those that wait for approval.
        devices: Vec<Device>,
    }
    /// A device of the own member.
    Device {
        /// Its identifier; null while it waits.
        device: Option<String>,
        /// Whether it is this one.
        this: bool,
        /// Active or waiting.
        state: DevicePhase,
        /// The code to compare, if it waits.
        code: Option<String>,
    }
    /// A link for another device of the own member.
    DeviceLink {
        /// The link. A secret.
        link: String,
        /// When it ends.
        expires: String,
    }
    /// A device that was approved or removed.
    DeviceChanged {
        /// Its identifier.
        device: String,
        /// The identifier of whose it is, if it was approved.
        member: Option<String>,
        /// `removed`, if it was.
        state: Option<String>,
    }
}
