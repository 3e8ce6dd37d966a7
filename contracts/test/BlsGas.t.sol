// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bls} from "../src/libraries/Bls.sol";
import {Evidence, Request} from "../src/libraries/Types.sol";
import {BlsDeployment} from "./BlsDeployment.sol";
import {vm} from "./Vm.sol";

/// @title What a delivery costs by the number of signers, with either kind of quorum evidence
/// @notice Operators on seats 0 to 127, as GasTest: whole transactions, balances paid before.
/// forge-config: default.isolate = true
contract BlsGasTest is BlsDeployment {
    uint256 private constant SEATS = 128;
    bytes private output = new bytes(20);

    function setUp() public override {
        super.setUp();
        for (uint256 index; index < SEATS; ++index) {
            uint256 i = personAt(index);
            if (i >= SEATS) {
                take(i, uint8(index));
                registerBlsAs(operatorAt(i), uint8(index), secretOf(i));
            }
            coprocessor.depositFor{value: 1}(operatorAt(i));
        }
    }

    function test_DeliverBySigners() public {
        uint8[12] memory counts = [1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64, 128];
        for (uint256 i; i < counts.length; ++i) {
            Request memory asked = ask(address(0xA11CE), "x", quorumPolicy(counts[i], 0), 1000, 0);
            coprocessor.deliver(asked, "", output, asEvidence(ecdsaOf(asked, counts[i])));
            vm.snapshotGasLastCall("Quorums", string.concat("deliver, ecdsa signers: ", vm.toString(counts[i])));
            asked = ask(address(0xA11CE), "x", quorumPolicy(counts[i], 0), 1000, 0);
            Evidence[] memory evidence = new Evidence[](1);
            evidence[0] = Evidence(QUORUM_BLS, blsOf(asked, counts[i]));
            coprocessor.deliver(asked, "", output, evidence);
            vm.snapshotGasLastCall("Quorums", string.concat("deliver, bls signers: ", vm.toString(counts[i])));
        }
    }

    function test_RegisterAKey() public {
        take(1000, 128);
        registerBlsAs(operatorAt(1000), 128, secretOf(1000));
        vm.snapshotGasLastCall("Quorums", "register a bls key, the first of a page");
        registerBlsAs(operatorAt(1000), 128, secretOf(1001));
        vm.snapshotGasLastCall("Quorums", "replace a bls key, alone on a page");
        registerBlsAs(operatorAt(personAt(15)), 15, secretOf(1002));
        vm.snapshotGasLastCall("Quorums", "replace a bls key, one of 16 on a page");
    }

    /// @dev Seats 0, 10, … 70 are those of the deployment's eight.
    function personAt(uint256 index) private pure returns (uint256) {
        return index % 10 == 0 && index / 10 < OPERATORS ? index / 10 : SEATS + index;
    }

    function take(uint256 i, uint8 index) private {
        address operator = operatorAt(i);
        bytes memory possession = signDigest(keyOf(i), operators.computePossessionDigest(operator, vm.addr(keyOf(i))));
        vm.deal(operator, MIN_STAKE_WEI);
        vm.prank(operator);
        operators.register{value: MIN_STAKE_WEI}(index, vm.addr(keyOf(i)), possession);
    }

    function ecdsaOf(Request memory asked, uint256 count) private view returns (bytes memory data) {
        bytes32 digest = claimDigestOf(asked, output);
        for (uint256 index; index < count; ++index) {
            data = bytes.concat(data, signDigest(keyOf(personAt(index)), digest));
        }
        return bytes.concat(bytes32((uint256(1) << count) - 1), data);
    }

    function blsOf(Request memory asked, uint256 count) private view returns (bytes memory) {
        uint256 secret;
        for (uint256 index; index < count; ++index) {
            secret = addModOrder(secret, secretOf(personAt(index)));
        }
        bytes memory signature = signBls(secret, Bls.CLAIMS, claimDigestOf(asked, output));
        return bytes.concat(bytes32((uint256(1) << count) - 1), signature);
    }
}
