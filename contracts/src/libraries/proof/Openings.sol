// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {Field} from "./Field.sol";
import {
    CHUNK_BITS,
    COORDINATES,
    ENTRIES,
    ENTRY_BYTES,
    MODULUS,
    MU,
    Memory,
    POWER,
    POWERS,
    SIGMAS,
    SLOPES,
    SUMS,
    VALUE,
    ZETA,
    load,
    store
} from "./Memory.sol";
import {ALL_SIGMA, Points} from "./Points.sol";
import {Sizes} from "./Records.sol";

/// @title Claims as linear functionals of chunks (circuits/protocols/opening.py)
/// @notice A claim says Σ coefficient·⟨⊗ low, chunk⟩ = value. The tensor, reversed into a polynomial, is e(X) = Π_j
///         (a_j·X^(2^j) + b_j) with (a, b) = (1 − p, p) for a coordinate p, (1, 0) or (0, 1) for a fixed bit, (1,
///         1) for a sum over it. Each chunk counts −ζ·Σ μ^i·coefficient·e_i(ζ): the scalar of its point in the
///         multiplication, whose entries are points of 128 bytes with their scalars.
library Openings {
    /// @dev Groups of at most 16 chunks: two short lists instead of a long one.
    uint256 private constant GROUP_BITS = 4;

    /// @notice Fills the tables of factors at ζ.
    function open() internal pure {
        store(POWER, 1);
        store(VALUE, 0);
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            // −ζ is a factor of everything.
            let sum := mod(sub(r, mload(ZETA)), r)
            let ofSigma := sum
            let zeta := mload(ZETA)
            let last := shl(5, mload(CHUNK_BITS))
            for { let j := 0 } iszero(gt(j, last)) { j := add(j, 0x20) } {
                let slope := sub(add(r, 1), zeta)
                mstore(add(POWERS, j), zeta)
                mstore(add(SLOPES, j), slope)
                mstore(add(SUMS, j), sum)
                mstore(add(SIGMAS, j), ofSigma)
                sum := mulmod(sum, add(1, zeta), r)
                ofSigma := mulmod(ofSigma, add(zeta, mulmod(mload(add(COORDINATES, j)), slope, r)), r)
                zeta := mulmod(zeta, zeta, r)
            }
        }
    }

    /// @notice Adds a claim's value; returns what its parts' coefficients are multiplied with.
    function claim(uint256 value) internal pure returns (uint256 power) {
        power = load(POWER);
        store(VALUE, Field.mulAdd(load(VALUE), power, value));
        store(POWER, Field.mul(power, load(MU)));
    }

    // ---- factors of e(ζ) ----------------------------------------------------------------------------------------

    /// @dev seed times the factors of the lowest `count` coordinates of a point. Leading coordinates of σ are in a
    ///      table.
    function _ofPoint(uint256 point, uint256 count, uint256 seed) private pure returns (uint256 result) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let j := shr(3, clz(xor(point, ALL_SIGMA)))
            if gt(j, count) { j := count }
            result := mulmod(seed, mload(add(SIGMAS, shl(5, j))), r)
            point := shl(shl(3, j), point)
            let place := add(POWERS, shl(5, j))
            for { let end := add(POWERS, shl(5, count)) } lt(place, end) { place := add(place, 0x20) } {
                let p := mload(add(COORDINATES, shl(5, byte(0, point))))
                result := mulmod(result, add(mload(place), mulmod(p, mload(add(place, sub(SLOPES, POWERS))), r)), r)
                point := shl(8, point)
            }
        }
    }

    /// @dev seed times the factors of the fixed bits [first, last) of an index: ζ^(2^j) where it has a zero.
    function _ofBits(uint256 index, uint256 first, uint256 last, uint256 seed) private pure returns (uint256 result) {
        assembly ("memory-safe") {
            result := seed
            if lt(first, last) {
                let r := mload(MODULUS)
                let zeros := and(not(index), sub(shl(last, 1), shl(first, 1)))
                for {} zeros {} {
                    let j := sub(255, clz(zeros))
                    zeros := xor(zeros, shl(j, 1))
                    result := mulmod(result, mload(add(POWERS, shl(5, j))), r)
                }
            }
        }
    }

    /// @dev What the chunk with that slot counts, plus `amount`.
    function _count(uint256 slot, uint256 amount) private pure {
        assembly ("memory-safe") {
            let place := add(add(mload(ENTRIES), mul(slot, ENTRY_BYTES)), 0x80)
            mstore(place, addmod(mload(place), amount, mload(MODULUS)))
        }
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    // ---- blocks -------------------------------------------------------------------------------------------------

    /// @notice coefficient·⟨⊗ point, block⟩ for the block of 2^count entries at a location.
    /// @param sizes True axis sizes from the low bits up (Sizes): chunks without a true entry have no slot. Not read
    ///        where the block lies in one chunk.
    function add(uint256 location, uint256 point, uint256 count, uint256 sizes, uint256 coefficient) internal pure {
        unchecked {
            uint256 chunkBits = load(CHUNK_BITS);
            uint256 slot = location >> chunkBits;
            uint256 amount = _ofPoint(point, _min(count, chunkBits), coefficient);
            if (count <= chunkBits) {
                _count(slot, _ofBits(location, count, chunkBits, amount));
                return;
            }
            uint256 free = Memory.free();
            (uint256 row, uint256 bits) = _findRow(sizes, chunkBits);
            uint256 inner = Points.eqList(point << (8 * chunkBits), 1 << bits);
            (uint256 list, uint256 groups) = Points.expand(point, sizes, chunkBits + bits, amount);
            _addGroups(slot, list, list + 32 * groups, inner, row, 1 << bits);
            Memory.reset(free);
        }
    }

    /// @dev Chunks along the axis that the lowest bit above `cut` belongs to, and how many of its bits make a group.
    function _findRow(uint256 sizes, uint256 cut) private pure returns (uint256 row, uint256 bits) {
        unchecked {
            uint256 low;
            while (true) {
                sizes += 32;
                uint256 high = low + Points.bitsOf(load(sizes));
                if (high > cut) {
                    uint256 first = low < cut ? cut : low;
                    return (((load(sizes) - 1) >> (first - low)) + 1, _min(high - first, GROUP_BITS));
                }
                low = high;
            }
        }
    }

    /// @dev Adds the product of every entry of the list with those of the inner one: `size` of them, or as many as
    ///      a row has left. A row begins a new group.
    function _addGroups(uint256 slot, uint256 list, uint256 last, uint256 inner, uint256 row, uint256 size)
        private
        pure
    {
        unchecked {
            uint256 left = row;
            for (; list < last; list += 32) {
                uint256 count = _min(left, size);
                _addProfile(slot, inner, count, load(list));
                slot += count;
                left = left == count ? row : left - count;
            }
        }
    }

    /// @notice The same for a block without padding.
    function addFull(uint256 location, uint256 point, uint256 count, uint256 coefficient) internal pure {
        unchecked {
            add(location, point, count, Sizes.single(1 << count), coefficient);
        }
    }

    // ---- a block whose padding counts for nothing -----------------------------------------------------------------

    /// @notice The same as `add` over true entries alone, whatever was committed to in the padding.
    function addMasked(uint256 location, uint256 point, uint256 count, uint256 sizes, uint256 coefficient)
        internal
        pure
    {
        unchecked {
            uint256 chunkBits = load(CHUNK_BITS);
            uint256 seed = Field.mul(coefficient, load(SUMS));
            uint256 low;
            uint256 last = sizes + 32 * load(sizes);
            for (uint256 place = sizes + 32; place <= last && low < chunkBits; place += 32) {
                uint256 size = load(place);
                uint256 inside = _min(Points.bitsOf(size), chunkBits - low);
                if (size > 1 << inside) {
                    // The axis lies across: of its chunks, all but the last of a row are full.
                    _addMaskedChunks(location >> chunkBits, point, sizes, seed, low, size & ((1 << inside) - 1));
                    return;
                }
                seed = Field.mul(seed, _masked(point, low, inside, size));
                low += inside;
            }
            if (count > chunkBits) _addMaskedChunks(location >> chunkBits, point, sizes, seed, low, 0);
            else _count(location >> chunkBits, _ofBits(location, count, chunkBits, seed));
        }
    }

    /// @dev The axis that begins at `low` lies across the chunk's end, or the end is between two axes.
    function _addMaskedChunks(
        uint256 slot,
        uint256 point,
        uint256 sizes,
        uint256 seed,
        uint256 low,
        uint256 partialSize
    ) private pure {
        unchecked {
            uint256 chunkBits = load(CHUNK_BITS);
            uint256 inside = chunkBits - low;
            (uint256 row,) = _findRow(sizes, chunkBits);
            uint256 full = _masked(point, low, inside, 1 << inside);
            uint256 part = partialSize == 0 ? full : _masked(point, low, inside, partialSize);
            (uint256 list, uint256 chunks) = Points.expand(point, sizes, chunkBits, seed);
            for (uint256 i = 1; i <= chunks; ++i) {
                _count(slot++, Field.mul(load(list), i % row == 0 ? part : full));
                list += 32;
            }
        }
    }

    /// @dev The factor of `bits` coordinates from `low` on, over the indices below `size`.
    function _masked(uint256 point, uint256 low, uint256 bits, uint256 size) private pure returns (uint256 result) {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let full := 1
            let isFull := shr(bits, size)
            for { let end := add(low, bits) } lt(low, end) { low := add(low, 1) } {
                let c := mload(add(COORDINATES, shl(5, byte(low, point))))
                let zero := mulmod(addmod(1, sub(r, c), r), mload(add(POWERS, shl(5, low))), r)
                switch and(size, 1)
                case 0 { result := mulmod(zero, result, r) }
                default { result := addmod(mulmod(zero, full, r), mulmod(c, result, r), r) }
                full := mulmod(full, addmod(zero, c, r), r)
                size := shr(1, size)
            }
            if isFull { result := full }
        }
    }

    // ---- sums -----------------------------------------------------------------------------------------------------

    /// @notice coefficient·Σ over the block of 2^count entries, all its chunks with a true entry.
    function addSum(uint256 location, uint256 count, uint256 coefficient) internal pure {
        unchecked {
            uint256 chunkBits = load(CHUNK_BITS);
            uint256 slot = location >> chunkBits;
            uint256 inside = _min(count, chunkBits);
            uint256 amount = Field.mul(coefficient, load(SUMS + 32 * inside));
            amount = _ofBits(location, inside, chunkBits, amount);
            for (uint256 last = slot + (1 << (count - inside)); slot < last; ++slot) {
                _count(slot, amount);
            }
        }
    }

    // ---- columns ------------------------------------------------------------------------------------------------

    /// @notice Adds the block of 2^count rows at `start`, at σ, to a profile: what each chunk of a column counts.
    /// @param profile Memory position of a word a chunk.
    /// @param bits Of the column: what lies above them is the column's own (addColumn).
    function addRows(uint256 profile, uint256 start, uint256 count, uint256 bits, uint256 weight) internal pure {
        unchecked {
            uint256 chunkBits = load(CHUNK_BITS);
            uint256 inside = _min(count, chunkBits);
            profile += 32 * (start >> chunkBits);
            uint256 amount = Field.mul(weight, load(SIGMAS + 32 * inside));
            amount = _ofBits(start, inside, _min(bits, chunkBits), amount);
            if (count <= chunkBits) {
                store(profile, Field.add(load(profile), amount));
                return;
            }
            // No other block has these chunks.
            (uint256 list, uint256 chunks) = Points.expand(ALL_SIGMA, Sizes.single(1 << count), chunkBits, amount);
            assembly ("memory-safe") {
                mcopy(profile, list, shl(5, chunks))
            }
        }
    }

    /// @notice The same for the sum over the block.
    function addRowSum(uint256 profile, uint256 start, uint256 count, uint256 bits) internal pure {
        unchecked {
            uint256 chunkBits = load(CHUNK_BITS);
            uint256 inside = _min(count, chunkBits);
            profile += 32 * (start >> chunkBits);
            uint256 amount = _ofBits(start, inside, _min(bits, chunkBits), load(SUMS + 32 * inside));
            for (uint256 last = profile + (32 << (count - inside)); profile < last; profile += 32) {
                store(profile, Field.add(load(profile), amount));
            }
        }
    }

    /// @notice coefficient·profile for each column of 2^bits rows, from the last one to that at a location.
    /// @param step Entries from one column to the next.
    /// @param coefficients Memory position of a word a column; their number.
    function addColumns(
        uint256 location,
        uint256 step,
        uint256 bits,
        uint256 profile,
        uint256 chunks,
        uint256 coefficients,
        uint256 columns
    ) internal pure {
        unchecked {
            uint256 chunkBits = load(CHUNK_BITS);
            uint256 ratio = load(POWERS + 32 * _min(bits, chunkBits));
            uint256 factor;
            uint256 slot = type(uint256).max;
            location += step * columns;
            while (columns-- != 0) {
                location -= step;
                // Columns of one chunk differ in bits that count down: by one power of ζ from each to the one before.
                if (slot == location >> chunkBits) {
                    factor = Field.mul(factor, ratio);
                } else {
                    slot = location >> chunkBits;
                    factor = _ofBits(location, bits, chunkBits, 1);
                }
                _addProfile(slot, profile, chunks, Field.mul(factor, load(coefficients + 32 * columns)));
            }
        }
    }

    /// @notice The same for one column.
    function addColumn(uint256 location, uint256 bits, uint256 profile, uint256 chunks, uint256 coefficient)
        internal
        pure
    {
        uint256 chunkBits = load(CHUNK_BITS);
        _addProfile(location >> chunkBits, profile, chunks, _ofBits(location, bits, chunkBits, coefficient));
    }

    function _addProfile(uint256 slot, uint256 profile, uint256 chunks, uint256 factor) private pure {
        assembly ("memory-safe") {
            let r := mload(MODULUS)
            let place := add(add(mload(ENTRIES), mul(slot, ENTRY_BYTES)), 0x80)
            let end := add(profile, shl(5, chunks))
            // One by one until a multiple of eight is left: the loop itself costs as much as half an addition.
            for {} and(sub(end, profile), 0xff) {} {
                mstore(place, addmod(mload(place), mulmod(factor, mload(profile), r), r))
                profile := add(profile, 0x20)
                place := add(place, ENTRY_BYTES)
            }
            for {} lt(profile, end) {} {
                mstore(place, addmod(mload(place), mulmod(factor, mload(profile), r), r))
                mstore(
                    add(place, 0xa0),
                    addmod(mload(add(place, 0xa0)), mulmod(factor, mload(add(profile, 0x20)), r), r)
                )
                mstore(
                    add(place, 0x140),
                    addmod(mload(add(place, 0x140)), mulmod(factor, mload(add(profile, 0x40)), r), r)
                )
                mstore(
                    add(place, 0x1e0),
                    addmod(mload(add(place, 0x1e0)), mulmod(factor, mload(add(profile, 0x60)), r), r)
                )
                mstore(
                    add(place, 0x280),
                    addmod(mload(add(place, 0x280)), mulmod(factor, mload(add(profile, 0x80)), r), r)
                )
                mstore(
                    add(place, 0x320),
                    addmod(mload(add(place, 0x320)), mulmod(factor, mload(add(profile, 0xa0)), r), r)
                )
                mstore(
                    add(place, 0x3c0),
                    addmod(mload(add(place, 0x3c0)), mulmod(factor, mload(add(profile, 0xc0)), r), r)
                )
                mstore(
                    add(place, 0x460),
                    addmod(mload(add(place, 0x460)), mulmod(factor, mload(add(profile, 0xe0)), r), r)
                )
                profile := add(profile, 0x100)
                place := add(place, mul(8, ENTRY_BYTES))
            }
        }
    }

    // ---- points -------------------------------------------------------------------------------------------------

    /// @notice Writes `count` points of 96 bytes from the calldata into the entries from `slot` on.
    function putCalldata(uint256 slot, uint256 place, uint256 count) internal pure {
        assembly ("memory-safe") {
            let to := add(mload(ENTRIES), mul(slot, ENTRY_BYTES))
            for {} count { count := sub(count, 1) } {
                calldatacopy(add(to, 0x10), place, 48)
                calldatacopy(add(to, 0x50), add(place, 48), 48)
                place := add(place, 96)
                to := add(to, ENTRY_BYTES)
            }
        }
    }

    /// @notice Writes the generator of the group, with its scalar.
    function putGenerator(uint256 slot, uint256 scalar) internal pure {
        assembly ("memory-safe") {
            let to := add(mload(ENTRIES), mul(slot, ENTRY_BYTES))
            mstore(to, 0x17f1d3a73197d7942695638c4fa9ac0f)
            mstore(add(to, 0x20), 0xc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb)
            mstore(add(to, 0x40), 0x08b3f481e3aaa0f1a09e30ed741d8ae4)
            mstore(add(to, 0x60), 0xfcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1)
            mstore(add(to, 0x80), scalar)
        }
    }

    function setScalar(uint256 slot, uint256 scalar) internal pure {
        assembly ("memory-safe") {
            mstore(add(add(mload(ENTRIES), mul(slot, ENTRY_BYTES)), 0x80), scalar)
        }
    }

    /// @notice Σ μ^i·value_i·ζ^n, for chunks of n entries.
    function claimedValue() internal pure returns (uint256) {
        return Field.mul(load(VALUE), topPower());
    }

    /// @notice ζ^n.
    function topPower() internal pure returns (uint256) {
        unchecked {
            return load(POWERS + 32 * load(CHUNK_BITS));
        }
    }
}
