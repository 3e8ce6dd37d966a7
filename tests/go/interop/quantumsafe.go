package main

import (
	"crypto/sha256"
	"encoding/binary"

	"filippo.io/mldsa"
	"filippo.io/torchwood"
	"golang.org/x/crypto/cryptobyte"
)

const algMLDSA44 = 6

// quantumSafe verifies ML-DSA-44 cosignatures (c2sp.org/tlog-cosignature, signature type 0x06) with filippo.io/mldsa.
type quantumSafe struct {
	name string
	hash uint32
	key  *mldsa.PublicKey
}

func newQuantumSafe(name string, public []byte) (*quantumSafe, error) {
	key, err := mldsa.NewPublicKey(mldsa.MLDSA44(), public)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(append([]byte(name+"\n\x06"), public...))
	return &quantumSafe{name, binary.BigEndian.Uint32(id[:]), key}, nil
}

func (q *quantumSafe) Name() string    { return q.name }
func (q *quantumSafe) KeyHash() uint32 { return q.hash }

// Verify builds the cosigned_message of the whole tree anew.
func (q *quantumSafe) Verify(text, signature []byte) bool {
	checkpoint, err := torchwood.ParseCheckpoint(string(text))
	if err != nil || len(signature) < 8 {
		return false
	}
	var message cryptobyte.Builder
	message.AddBytes([]byte("subtree/v1\n\x00"))
	message.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(q.name)) })
	message.AddBytes(signature[:8])
	message.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(checkpoint.Origin)) })
	message.AddUint64(0)
	message.AddUint64(uint64(checkpoint.N))
	message.AddBytes(checkpoint.Hash[:])
	signed, err := message.Bytes()
	return err == nil && mldsa.Verify(q.key, signed, signature[8:], nil) == nil
}
