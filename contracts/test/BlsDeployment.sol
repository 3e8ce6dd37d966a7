// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlsKeys} from "../src/BlsKeys.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {Evidence, Request} from "../src/libraries/Types.sol";
import {BlsQuorumVerifier} from "../src/verifiers/BlsQuorumVerifier.sol";
import {BlsSigner} from "./BlsSigner.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title The deployment, with a BLS key for each operator
abstract contract BlsDeployment is Deployment, BlsSigner {
    bytes4 internal constant QUORUM_BLS = bytes4(keccak256("affidavit.verifier.quorum-bls.v1"));

    BlsKeys internal blsKeys;
    BlsQuorumVerifier internal blsQuorum;

    function setUp() public virtual override {
        super.setUp();
        blsKeys = BlsKeys(deployShipped("BlsKeys", abi.encode(operators)));
        blsQuorum = BlsQuorumVerifier(deployShipped("BlsQuorumVerifier", abi.encode(blsKeys)));
        for (uint256 i; i < OPERATORS; ++i) {
            registerBls(i);
        }
        vm.prank(OWNER);
        router.add(blsQuorum);
    }

    function registerBls(uint256 i) internal {
        registerBlsAs(operatorAt(i), seatIndexOf(i), secretOf(i));
    }

    function registerBlsAs(address operator, uint8 index, uint256 secret) internal {
        bytes memory key = publicKey(secret);
        bytes memory possession = provePossession(operator, secret);
        vm.prank(operator);
        blsKeys.register(index, key, possession);
    }

    function provePossession(address operator, uint256 secret) internal view returns (bytes memory) {
        bytes32 digest = blsKeys.computePossessionDigest(operator, keccak256(publicKey(secret)));
        return signBls(secret, Bls.POSSESSIONS, digest);
    }

    /// @dev Evidence of the first `count` operators, starting with operator `first`.
    function blsData(bytes32 digest, uint256 first, uint256 count) internal view returns (bytes memory) {
        uint256 bitmap;
        uint256 secret;
        for (uint256 i = first; i < first + count; ++i) {
            bitmap |= 1 << seatIndexOf(i);
            secret = addModOrder(secret, secretOf(i));
        }
        return bytes.concat(bytes32(bitmap), signBls(secret, Bls.CLAIMS, digest));
    }

    function blsEvidenceOf(Request memory asked, bytes memory output, uint256 count)
        internal
        view
        returns (Evidence[] memory evidence)
    {
        evidence = new Evidence[](1);
        evidence[0] = Evidence(QUORUM_BLS, blsData(claimDigestOf(asked, output), 0, count));
    }
}
