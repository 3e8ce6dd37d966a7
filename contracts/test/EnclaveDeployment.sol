// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EnclaveRegistry} from "../src/EnclaveRegistry.sol";
import {IEnclaveRegistry} from "../src/interfaces/IEnclaveRegistry.sol";
import {EnclaveVerifier} from "../src/verifiers/EnclaveVerifier.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title A deployment with enclaves: each operator has one, whose key is `enclaveSecret`
abstract contract EnclaveDeployment is Deployment {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint8 internal constant QUORUM_SIZE = 2;
    uint8 internal constant TDX = 2;
    uint8 internal constant SIMULATED = 255;
    uint64 internal constant LIFETIME = 7 days;
    bytes32 internal constant RUNTIME = keccak256("the runtime");

    EnclaveRegistry internal enclaves;
    EnclaveVerifier internal enclave;

    function setUp() public virtual override {
        super.setUp();
        enclaves =
            EnclaveRegistry(deployShipped("EnclaveRegistry", abi.encode(operators, quorum, uint256(QUORUM_SIZE), 0)));
        enclave = EnclaveVerifier(deployShipped("EnclaveVerifier", abi.encode(enclaves)));
    }

    function enclaveSecret(uint256 i) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("enclave key", i)));
    }

    function enclaveKey(uint256 i) internal pure returns (address) {
        return vm.addr(enclaveSecret(i));
    }

    function begin(uint256 i) internal returns (bytes32 nonce) {
        vm.prank(operatorAt(i));
        return enclaves.begin();
    }

    /// @dev What the others sign after operator `i` has begun.
    function attest(uint256 i, uint8 platform) internal returns (IEnclaveRegistry.Attestation memory) {
        return attestation(i, platform, begin(i));
    }

    function attestation(uint256 i, uint8 platform, bytes32 nonce)
        internal
        view
        returns (IEnclaveRegistry.Attestation memory)
    {
        return IEnclaveRegistry.Attestation({
            key: enclaveKey(i),
            operator: operatorAt(i),
            platform: platform,
            measurement: keccak256("measured"),
            runtimeDigest: RUNTIME,
            quoteDigest: keccak256("quote"),
            expiresAt: uint64(block.timestamp) + LIFETIME,
            nonce: nonce
        });
    }

    function register(IEnclaveRegistry.Attestation memory it, bytes memory data) internal {
        vm.prank(it.operator);
        enclaves.register(it, data);
    }

    /// @dev Of operators 1 and 2.
    function signedByOthers(IEnclaveRegistry.Attestation memory it) internal view returns (bytes memory) {
        return signedBy(enclaves.computeAttestationDigest(it), 1, QUORUM_SIZE);
    }

    function signedBy(bytes32 digest, uint256 first, uint256 count) internal pure returns (bytes memory data) {
        uint256 bitmap;
        for (uint256 i = first; i < first + count; ++i) {
            bitmap |= 1 << seatIndexOf(i);
            data = bytes.concat(data, signDigest(keyOf(i), digest));
        }
        data = bytes.concat(bytes32(bitmap), data);
    }

    function quit(uint256 i) internal {
        vm.prank(operatorAt(i));
        operators.beginExit();
    }

    /// @dev The other signature of the same key that plain ecrecover accepts as well.
    function highS(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
    }
}
