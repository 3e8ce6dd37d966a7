// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bls} from "../src/libraries/Bls.sol";

/// @title BLS signing for tests, over the precompiles
/// @dev Hashing is the library's own; tests/vectors/bls.json, which py_ecc made, holds that.
abstract contract BlsSigner {
    uint256 internal constant GROUP_ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    bytes private constant GENERATOR_G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051"
        hex"c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65"
        hex"596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351a"
        hex"adfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
        hex"000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99"
        hex"cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";

    function secretOf(uint256 i) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("BLS key", i))) % GROUP_ORDER;
    }

    function negated(uint256 secret) internal pure returns (uint256) {
        return GROUP_ORDER - secret;
    }

    /// @dev 256 bytes.
    function publicKey(uint256 secret) internal view returns (bytes memory) {
        return callPrecompile(0x0e, bytes.concat(GENERATOR_G2, bytes32(secret)));
    }

    /// @dev 96 bytes. Of several keys: that of the sum of their secrets.
    function signBls(uint256 secret, bytes32 tag, bytes32 digest) internal view returns (bytes memory) {
        return packed(callPrecompile(0x0c, bytes.concat(hashed(tag, digest), bytes32(secret))));
    }

    function hashed(bytes32 tag, bytes32 digest) internal view returns (bytes memory point) {
        point = new bytes(128);
        uint256 to;
        assembly {
            to := add(point, 0x20)
        }
        Bls.hashToCurve(tag, digest, to);
    }

    function addModOrder(uint256 a, uint256 b) internal pure returns (uint256) {
        return addmod(a, b, GROUP_ORDER);
    }

    function addSignatures(bytes memory a, bytes memory b) internal view returns (bytes memory) {
        return packed(callPrecompile(0x0b, bytes.concat(padded(a), padded(b))));
    }

    function padded(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 a, bytes32 b, bytes32 c) = abi.decode(signature, (bytes32, bytes32, bytes32));
        bytes16 y = bytes16(b << 128);
        return bytes.concat(bytes16(0), a, bytes16(b), bytes16(0), y, c);
    }

    function packed(bytes memory point) internal pure returns (bytes memory) {
        (bytes32 a, bytes32 b, bytes32 c, bytes32 d) = abi.decode(point, (bytes32, bytes32, bytes32, bytes32));
        return bytes.concat(bytes16(a << 128), b, bytes16(c << 128), d);
    }

    function callPrecompile(uint256 place, bytes memory data) internal view returns (bytes memory result) {
        bool isSuccess;
        (isSuccess, result) = address(uint160(place)).staticcall(data);
        require(isSuccess, "precompile");
    }
}
