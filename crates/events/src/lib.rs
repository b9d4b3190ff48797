//! Wire types shared by the BPF programs and the agent.
