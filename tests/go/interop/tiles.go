package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// directory is a tlog.TileReader on a log's directory. A partial tile that is gone is the front of the full one, as C2SP says.
type directory string

func (d directory) Height() int { return torchwood.TileHeight }

func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}

func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		read, err := d.read(tile)
		if err != nil {
			return nil, err
		}
		data[i] = read
	}
	return data, nil
}

func (d directory) read(tile tlog.Tile) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(string(d), torchwood.TilePath(tile)))
	if !errors.Is(err, os.ErrNotExist) || tile.W == torchwood.TileWidth {
		return data, err
	}
	full := tile
	full.W = torchwood.TileWidth
	data, err = os.ReadFile(filepath.Join(string(d), torchwood.TilePath(full)))
	if err != nil || tile.L == -1 || len(data) < tile.W*tlog.HashSize {
		return data, err
	}
	return data[:tile.W*tlog.HashSize], nil
}

// openCheckpoint verifies a checkpoint with note.Open, by the log's key alone.
func openCheckpoint(data []byte, vkey string) (torchwood.Checkpoint, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	checkpoint, err := torchwood.ParseCheckpoint(opened.Text)
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	if checkpoint.Origin != verifier.Name() {
		return torchwood.Checkpoint{}, fmt.Errorf("origin %q, key %q", checkpoint.Origin, verifier.Name())
	}
	return checkpoint, nil
}

func openDirectory(dir, vkey string) (torchwood.Checkpoint, error) {
	data, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	return openCheckpoint(data, vkey)
}

// checkTiles reads every entry and proves each in the tree; tlog.TileHashReader authenticates every tile it reads.
func checkTiles(args []string) (any, error) {
	if err := need(args, 2); err != nil {
		return nil, err
	}
	checkpoint, err := openDirectory(args[0], args[1])
	if err != nil {
		return nil, err
	}
	hashes := tlog.TileHashReader(checkpoint.Tree, directory(args[0]))
	if root, err := tlog.TreeHash(checkpoint.N, hashes); err != nil || root != checkpoint.Hash {
		return nil, fmt.Errorf("tree hash %v, %v", root, err)
	}
	entries, err := readEntries(directory(args[0]), checkpoint.N)
	if err != nil {
		return nil, err
	}
	if err := proveAll(entries, checkpoint, hashes); err != nil {
		return nil, err
	}
	return map[string]any{"origin": checkpoint.Origin, "size": checkpoint.N, "entries": len(entries)}, nil
}

func readEntries(d directory, size int64) ([][]byte, error) {
	var entries [][]byte
	for start := int64(0); start < size; start += torchwood.TileWidth {
		width := min(torchwood.TileWidth, int(size-start))
		tile := tlog.Tile{H: torchwood.TileHeight, L: -1, N: start / torchwood.TileWidth, W: width}
		rest, err := d.read(tile)
		if err != nil {
			return nil, err
		}
		for range width {
			var entry []byte
			if entry, rest, err = torchwood.ReadTileEntry(rest); err != nil {
				return nil, err
			}
			entries = append(entries, bytes.Clone(entry))
		}
	}
	return entries, nil
}

func proveAll(entries [][]byte, checkpoint torchwood.Checkpoint, hashes tlog.HashReader) error {
	for index, entry := range entries {
		leaf := tlog.RecordHash(entry)
		proof, err := tlog.ProveRecord(checkpoint.N, int64(index), hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, checkpoint.N, checkpoint.Hash, int64(index), leaf); err != nil {
			return fmt.Errorf("entry %d: %v", index, err)
		}
	}
	return nil
}

func checkConsistency(args []string) (any, error) {
	if err := need(args, 3); err != nil {
		return nil, err
	}
	kept, err := os.ReadFile(args[0])
	if err != nil {
		return nil, err
	}
	older, err := openCheckpoint(kept, args[2])
	if err != nil {
		return nil, err
	}
	newer, err := openDirectory(args[1], args[2])
	if err != nil {
		return nil, err
	}
	proof, err := tlog.ProveTree(newer.N, older.N, tlog.TileHashReader(newer.Tree, directory(args[1])))
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash); err != nil {
		return nil, err
	}
	return map[string]any{"from": older.N, "to": newer.N, "hashes": len(proof)}, nil
}
