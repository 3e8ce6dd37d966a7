// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {R} from "./Field.sol";
import {Layout, Layouts} from "./Layout.sol";
import {Shapes} from "./Network.sol";
import {Points, SIGMA} from "./Points.sol";

/// @notice The one opening: what each chunk counts in the combined commitment, as far as claims were added.
struct Opening {
    uint256 chunkBits;
    /// @dev Table of coordinates (Points.sol).
    uint256 coordinates;
    /// @dev ζ^(2^j) for j ≤ chunkBits; 1 − ζ^(2^j); Π_{i<j} (1 + ζ^(2^i)); Π_{i<j} of the factors of σ.
    uint256 powers;
    uint256 slopes;
    uint256 sums;
    uint256 sigmas;
    /// @dev Memory position of the entries of the multi-scalar multiplication: point, 128 bytes, and scalar.
    uint256 entries;
    /// @dev ζ·μ^i for claim i, and ζ·Σ μ^i·value_i.
    uint256 mu;
    uint256 power;
    uint256 value;
}

/// @title Claims as linear functionals of chunks (circuits/protocols/opening.py)
/// @notice A claim says Σ coefficient·⟨⊗ low, chunk⟩ = value. The tensor, reversed into a polynomial, is e(X) = Π_j
///         (a_j·X^(2^j) + b_j) with (a, b) = (1 − p, p) for a coordinate p, (1, 0) or (0, 1) for a fixed bit, (1, 1) for a
///         sum over it. Each chunk counts ζ·Σ μ^i·coefficient·e_i(ζ).
library Openings {
    uint256 internal constant ENTRY_BYTES = 160;
    /// @dev Entries behind the last, for a check that needs more points.
    uint256 internal constant SPARE_ENTRIES = 2;

    function open(Layout memory plan, uint256 coordinates, uint256 mu, uint256 zeta)
        internal
        pure
        returns (Opening memory o)
    {
        unchecked {
            uint256 chunkBits = plan.chunkBits;
            uint256 words = chunkBits + 1;
            uint256 length = ENTRY_BYTES * (Layouts.countPoints(plan) + SPARE_ENTRIES);
            uint256 free;
            assembly ("memory-safe") {
                free := mload(0x40)
                let size := add(shl(7, words), length)
                calldatacopy(free, calldatasize(), size)
                mstore(0x40, add(free, size))
            }
            (o.chunkBits, o.coordinates, o.mu, o.power) = (chunkBits, coordinates, mu, zeta);
            (o.powers, o.slopes) = (free, free + 32 * words);
            (o.sums, o.sigmas) = (free + 64 * words, free + 96 * words);
            o.entries = free + 128 * words;
            _fillTables(o, zeta);
        }
    }

    function _fillTables(Opening memory o, uint256 zeta) private pure {
        (uint256 powers, uint256 slopes, uint256 sums, uint256 sigmas) = (o.powers, o.slopes, o.sums, o.sigmas);
        uint256 sigma = o.coordinates + 32 * SIGMA;
        assembly ("memory-safe") {
            let sum := 1
            let ofSigma := 1
            for { let last := slopes } lt(powers, last) { powers := add(powers, 0x20) } {
                let slope := addmod(1, sub(R, zeta), R)
                mstore(powers, zeta)
                mstore(slopes, slope)
                mstore(sums, sum)
                mstore(sigmas, ofSigma)
                sum := mulmod(sum, addmod(1, zeta, R), R)
                ofSigma := mulmod(ofSigma, addmod(zeta, mulmod(mload(sigma), slope, R), R), R)
                zeta := mulmod(zeta, zeta, R)
                slopes := add(slopes, 0x20)
                sums := add(sums, 0x20)
                sigmas := add(sigmas, 0x20)
                sigma := add(sigma, 0x20)
            }
        }
    }

    /// @notice Adds a claim's value; returns what its parts' coefficients are multiplied with.
    function claim(Opening memory o, uint256 value) internal pure returns (uint256 power) {
        power = o.power;
        o.value = addmod(o.value, mulmod(power, value, R), R);
        o.power = mulmod(power, o.mu, R);
    }

    // ---- factors of e(ζ) ----------------------------------------------------------------------------------------

    /// @dev Of the lowest `count` coordinates of a point.
    function _ofPoint(Opening memory o, uint256 point, uint256 count, uint256 seed)
        private
        pure
        returns (uint256 result)
    {
        (uint256 powers, uint256 slopes, uint256 coordinates) = (o.powers, o.slopes, o.coordinates);
        assembly ("memory-safe") {
            result := seed
            for { let j := 0 } lt(j, count) { j := add(j, 1) } {
                let p := mload(add(coordinates, shl(5, byte(j, point))))
                let factor := addmod(mload(powers), mulmod(p, mload(slopes), R), R)
                result := mulmod(result, factor, R)
                powers := add(powers, 0x20)
                slopes := add(slopes, 0x20)
            }
        }
    }

    /// @dev Of the fixed bits [first, last) of an index: ζ^(2^j) where it has a zero.
    function _ofBits(Opening memory o, uint256 index, uint256 first, uint256 last, uint256 seed)
        private
        pure
        returns (uint256 result)
    {
        uint256 powers = o.powers;
        assembly ("memory-safe") {
            result := seed
            for { let bits := shr(first, not(index)) } lt(first, last) { first := add(first, 1) } {
                if and(bits, 1) { result := mulmod(result, mload(add(powers, shl(5, first))), R) }
                bits := shr(1, bits)
            }
        }
    }

    function _word(uint256 table, uint256 index) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(table, shl(5, index)))
        }
    }

    /// @dev What the chunk with that slot counts, plus `amount`.
    function _count(Opening memory o, uint256 slot, uint256 amount) private pure {
        uint256 entries = o.entries;
        assembly ("memory-safe") {
            let place := add(add(entries, mul(slot, ENTRY_BYTES)), 0x80)
            mstore(place, addmod(mload(place), amount, R))
        }
    }

    // ---- blocks -------------------------------------------------------------------------------------------------

    /// @notice coefficient·⟨⊗ point, block⟩ for the block of 2^count entries at a location.
    /// @param sizes True axis sizes from the low bits up: chunks without a true entry have no slot.
    function add(
        Opening memory o,
        uint256 location,
        uint256 point,
        uint256 count,
        uint256[] memory sizes,
        uint256 coefficient
    ) internal pure {
        unchecked {
            uint256 chunkBits = o.chunkBits;
            uint256 slot = location >> chunkBits;
            if (count <= chunkBits) {
                uint256 amount = _ofPoint(o, point, count, coefficient);
                _count(o, slot, _ofBits(o, location, count, chunkBits, amount));
                return;
            }
            uint256 seed = _ofPoint(o, point, chunkBits, coefficient);
            (uint256 list, uint256 chunks) = Points.expand(o.coordinates, point, sizes, chunkBits, seed);
            for (uint256 i; i < chunks; ++i) {
                _count(o, slot + i, _word(list, i));
            }
        }
    }

    /// @notice The same for a block without padding.
    function addFull(Opening memory o, uint256 location, uint256 point, uint256 count, uint256 coefficient)
        internal
        pure
    {
        unchecked {
            add(o, location, point, count, Shapes.single(1 << count), coefficient);
        }
    }

    /// @notice coefficient·Σ over the block of 2^count entries, all its chunks with a true entry.
    function addSum(Opening memory o, uint256 location, uint256 count, uint256 coefficient) internal pure {
        unchecked {
            uint256 slot = location >> o.chunkBits;
            uint256 inside = count < o.chunkBits ? count : o.chunkBits;
            uint256 amount = mulmod(coefficient, _word(o.sums, inside), R);
            amount = _ofBits(o, location, inside, o.chunkBits, amount);
            for (uint256 last = slot + (1 << (count - inside)); slot < last; ++slot) {
                _count(o, slot, amount);
            }
        }
    }

    // ---- columns ------------------------------------------------------------------------------------------------

    /// @notice Adds to a profile (what each chunk of a column counts) the block of 2^count rows at `start`, at σ.
    /// @param bits Of the column: what lies above them is the column's own (addColumn).
    function addRows(Opening memory o, uint256[] memory profile, uint256 start, uint256 count, uint256 bits, uint256 w)
        internal
        pure
    {
        unchecked {
            uint256 chunkBits = o.chunkBits;
            uint256 first = start >> chunkBits;
            if (count <= chunkBits) {
                uint256 amount = mulmod(w, _word(o.sigmas, count), R);
                amount = _ofBits(o, start, count, bits < chunkBits ? bits : chunkBits, amount);
                profile[first] = addmod(profile[first], amount, R);
                return;
            }
            uint256 seed = mulmod(w, _word(o.sigmas, chunkBits), R);
            uint256[] memory sizes = Shapes.single(1 << count);
            (uint256 list, uint256 chunks) =
                Points.expand(o.coordinates, Points.span(SIGMA, 32), sizes, chunkBits, seed);
            for (uint256 i; i < chunks; ++i) {
                profile[first + i] = addmod(profile[first + i], _word(list, i), R);
            }
        }
    }

    /// @notice The same for the sum over the block.
    function addRowSum(Opening memory o, uint256[] memory profile, uint256 start, uint256 count, uint256 bits)
        internal
        pure
    {
        unchecked {
            uint256 chunkBits = o.chunkBits;
            uint256 first = start >> chunkBits;
            uint256 inside = count < chunkBits ? count : chunkBits;
            uint256 amount = _ofBits(o, start, inside, bits < chunkBits ? bits : chunkBits, _word(o.sums, inside));
            for (uint256 i; i < 1 << (count - inside); ++i) {
                profile[first + i] = addmod(profile[first + i], amount, R);
            }
        }
    }

    /// @notice coefficient·profile, for the column of 2^bits rows at a location.
    function addColumn(Opening memory o, uint256 location, uint256 bits, uint256[] memory profile, uint256 coefficient)
        internal
        pure
    {
        unchecked {
            uint256 slot = location >> o.chunkBits;
            uint256 factor = _ofBits(o, location, bits, o.chunkBits, coefficient);
            for (uint256 i; i < profile.length; ++i) {
                _count(o, slot + i, mulmod(factor, profile[i], R));
            }
        }
    }

    // ---- points -------------------------------------------------------------------------------------------------

    /// @notice Writes `count` points of 96 bytes from the calldata into the entries from `slot` on.
    function putCalldata(Opening memory o, uint256 slot, uint256 place, uint256 count) internal pure {
        uint256 entries = o.entries;
        assembly ("memory-safe") {
            let to := add(entries, mul(slot, ENTRY_BYTES))
            for { let last := add(place, mul(96, count)) } lt(place, last) { place := add(place, 96) } {
                calldatacopy(add(to, 0x10), place, 48)
                calldatacopy(add(to, 0x50), add(place, 48), 48)
                to := add(to, ENTRY_BYTES)
            }
        }
    }

    /// @notice The same from memory.
    function putMemory(Opening memory o, uint256 slot, uint256 place, uint256 count) internal pure {
        uint256 entries = o.entries;
        assembly ("memory-safe") {
            let to := add(entries, mul(slot, ENTRY_BYTES))
            for { let last := add(place, mul(96, count)) } lt(place, last) { place := add(place, 96) } {
                mcopy(add(to, 0x10), place, 48)
                mcopy(add(to, 0x50), add(place, 48), 48)
                to := add(to, ENTRY_BYTES)
            }
        }
    }

    /// @notice The generator of the group, as the entry at `slot`.
    function putGenerator(Opening memory o, uint256 slot, uint256 scalar) internal pure {
        uint256 entries = o.entries;
        assembly ("memory-safe") {
            let to := add(entries, mul(slot, ENTRY_BYTES))
            mstore(to, 0x17f1d3a73197d7942695638c4fa9ac0f)
            mstore(add(to, 0x20), 0xc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb)
            mstore(add(to, 0x40), 0x08b3f481e3aaa0f1a09e30ed741d8ae4)
            mstore(add(to, 0x60), 0xfcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1)
            mstore(add(to, 0x80), scalar)
        }
    }

    function setScalar(Opening memory o, uint256 slot, uint256 scalar) internal pure {
        uint256 entries = o.entries;
        assembly ("memory-safe") {
            mstore(add(add(entries, mul(slot, ENTRY_BYTES)), 0x80), scalar)
        }
    }

    /// @notice ζ·Σ μ^i·value_i·ζ^(n − 1), for chunks of n entries.
    function claimedValue(Opening memory o) internal pure returns (uint256) {
        return _ofBits(o, 0, 0, o.chunkBits, o.value);
    }

    /// @notice ζ^n.
    function topPower(Opening memory o) internal pure returns (uint256) {
        return _word(o.powers, o.chunkBits);
    }
}
