// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Precompiles} from "./proof/Precompiles.sol";

/// @title BLS signatures over BLS12-381, signatures in G1 and keys in G2
/// @notice The ciphersuite BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_ of draft-irtf-cfrg-bls-signature, hashing as
///         RFC 9380 says, over the precompiles of EIP-2537. Messages are 32-byte digests. Python: oracle/attest/bls.py.
/// @dev Signatures in G1 because a message is then hashed to G1, which costs 12,000 gas and not 50,000; a key in G2
///      costs 225 gas more to add than one in G1. So this is the cheaper way round up to some 160 signers.
library Bls {
    /// @notice A point of G1 as x‖y, 48 bytes each, big-endian. The precompiles refuse coordinates from the modulus on,
    ///         so a point other than infinity has one encoding.
    uint256 internal constant SIGNATURE_BYTES = 96;
    /// @notice A point of G2 as EIP-2537 encodes it: x.c0‖x.c1‖y.c0‖y.c1, 64 bytes each.
    uint256 internal constant KEY_BYTES = 256;

    /// @notice What separates signatures of claims from proofs of possession: the first 32 of the 43 bytes of the tag.
    bytes32 internal constant CLAIMS = "BLS_SIG_BLS12381G1_XMD:SHA-256_S";
    bytes32 internal constant POSSESSIONS = "BLS_POP_BLS12381G1_XMD:SHA-256_S";
    /// @dev The other 11, "SWU_RO_POP_", and the tag's length, 43.
    bytes32 private constant TAG_END = hex"5357555f524f5f504f505f2b";

    uint256 private constant SHA256_GAS = 120;
    uint256 private constant MODEXP = 0x05;
    uint256 private constant MODEXP_GAS = 500;
    uint256 private constant G2ADD = 0x0d;
    uint256 private constant G2ADD_GAS = 600;
    uint256 private constant MAP_FP_TO_G1 = 0x10;
    uint256 private constant MAP_FP_TO_G1_GAS = 5_500;

    /// @dev The base field's, as 16 and 32 bytes.
    uint256 private constant MODULUS_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant MODULUS_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    error SignatureLength(uint256 expectedBytes, uint256 gotBytes);
    /// @notice The point at infinity is the signature of the sum of keys that cancel out, for every message.
    error InfiniteSignature();

    /// @notice Whether `signature` is that of `key`, or of keys whose sum is `key`, over `digest`.
    /// @dev WARNING: only for keys that are of the prime-order group, or checked here for the first time, and whose
    ///      possession was proven: among others, one can be chosen so that it cancels another's. Reverts for a
    ///      signature that is no point of the group.
    function isSigned(bytes32 tag, bytes32 digest, bytes calldata signature, bytes memory key)
        internal
        view
        returns (bool)
    {
        if (signature.length != SIGNATURE_BYTES) revert SignatureLength(SIGNATURE_BYTES, signature.length);
        // The signature, room for −[1]_2, the hash, the key; behind them what hashing uses.
        uint256 pairs;
        assembly ("memory-safe") {
            pairs := mload(0x40)
            mstore(0x40, add(pairs, 0x300))
            calldatacopy(pairs, calldatasize(), 0x80)
            calldatacopy(add(pairs, 0x10), signature.offset, 0x30)
            calldatacopy(add(pairs, 0x50), add(signature.offset, 0x30), 0x30)
            mcopy(add(pairs, 0x200), add(key, 0x20), 0x100)
        }
        if (_isInfinite(pairs)) revert InfiniteSignature();
        hashToCurve(tag, digest, pairs + 0x180);
        return Precompiles.isPaired(pairs);
    }

    /// @notice The sum of two keys, 512 bytes at `pair`, goes to `pair`. Checks that both are of the curve, not that
    ///         they are of the group.
    function addKeys(uint256 pair) internal view {
        Precompiles.callExactly(G2ADD, G2ADD_GAS, pair, 512, pair, 256);
    }

    /// @notice hash_to_curve of RFC 9380, suite BLS12381G1_XMD:SHA-256_SSWU_RO_; the point's 128 bytes go to `to`.
    /// @dev MAP_FP_TO_G1 clears the cofactor of each half. That is a homomorphism, so the sum is what the RFC says.
    function hashToCurve(bytes32 tag, bytes32 digest, uint256 to) internal view {
        unchecked {
            uint256 free;
            assembly ("memory-safe") {
                free := mload(0x40)
            }
            uint256 power = free + 0xa0;
            uint256 halves = power + 0x100;
            _beginExpansion(tag, digest, free, power);
            _expand(free, 1, power + 0x60);
            _expand(free, 2, power + 0x80);
            _mapHalf(power, halves);
            _expand(free, 3, power + 0x60);
            _expand(free, 4, power + 0x80);
            _mapHalf(power, halves + 0x80);
            Precompiles.add(halves, to);
        }
    }

    /// @dev expand_message_xmd for 128 bytes. At `free`: 64 zero bytes, the message, 0x0080, a byte, the tag and its
    ///      length: b_0 is the hash of all. Each further one is of the 77 bytes from 0x42 on: 32 bytes, a number, the
    ///      tag. At `power`: the input of MODEXP that reduces a half, x^1 mod p with 64 bytes for x and p.
    function _beginExpansion(bytes32 tag, bytes32 digest, uint256 free, uint256 power) private view {
        assembly ("memory-safe") {
            calldatacopy(free, calldatasize(), 0x40)
            mstore(add(free, 0x40), digest)
            mstore(add(free, 0x60), shl(232, 0x008000))
            mstore(add(free, 0x63), tag)
            mstore(add(free, 0x83), TAG_END)
            mstore(power, 0x40)
            mstore(add(power, 0x20), 1)
            mstore(add(power, 0x40), 0x40)
            mstore8(add(power, 0xa0), 1)
            mstore(add(power, 0xa1), MODULUS_HIGH)
            mstore(add(power, 0xc1), MODULUS_LOW)
        }
        Precompiles.callExactly(Precompiles.SHA256, SHA256_GAS, free, 0x8f, free, 32);
        assembly ("memory-safe") {
            mstore(add(free, 0x20), 0)
        }
    }

    /// @dev b_counter, to `to`; b_0 is at `free`, the one before this behind it, zero before the first.
    function _expand(uint256 free, uint256 counter, uint256 to) private view {
        assembly ("memory-safe") {
            mstore(add(free, 0x42), xor(mload(free), mload(add(free, 0x20))))
            mstore8(add(free, 0x62), counter)
        }
        Precompiles.callExactly(Precompiles.SHA256, SHA256_GAS, free + 0x42, 77, to, 32);
        assembly ("memory-safe") {
            mstore(add(free, 0x20), mload(to))
        }
    }

    /// @dev 64 bytes mod p, mapped to the curve.
    function _mapHalf(uint256 power, uint256 to) private view {
        Precompiles.callExactly(MODEXP, MODEXP_GAS, power, 0xe1, to, 64);
        Precompiles.callExactly(MAP_FP_TO_G1, MAP_FP_TO_G1_GAS, to, 64, to, 128);
    }

    function _isInfinite(uint256 point) private pure returns (bool result) {
        assembly ("memory-safe") {
            let x := or(mload(point), mload(add(point, 0x20)))
            result := iszero(or(x, or(mload(add(point, 0x40)), mload(add(point, 0x60)))))
        }
    }
}
