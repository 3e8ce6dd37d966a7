package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// serveAgent holds one key for litewitness, which signs through an ssh-agent and nothing else. It serves until it is killed.
func serveAgent(args []string) (any, error) {
	if err := need(args, 2); err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(args[1])
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("a seed has %d bytes in hex", ed25519.SeedSize)
	}
	key := ed25519.NewKeyFromSeed(seed)
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		return nil, err
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", args[0])
	if err != nil {
		return nil, err
	}
	fmt.Println(ssh.FingerprintSHA256(public))
	for {
		connection, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		go func() { _ = agent.ServeAgent(keyring, connection) }()
	}
}
